"""Agents that stream, from the server to every report, as a user sees them."""

from __future__ import annotations

import csv
import json

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, served, stream


def event(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def choose(asked: Asked) -> Play:
    text = asked.json["input"]
    if text == "plain":
        return json_reply({"output": "Soon.", "finish_reason": "stop"})
    finish = "length" if text == "long" else "stop"
    pieces = [event("So"), event("on."), event("", finish), b"data: [DONE]\n\n"]
    return stream(pieces, pause_s=0.05)


def test_first_tokens_and_answers_that_were_cut_off_are_in_every_report(project: Project) -> None:
    with served(ScriptedServer(choose=choose)) as server:
        project.write(
            "streams.yaml",
            f"""
            agent: {{http: "{server.url}/ask"}}
            metrics: [exact_match, time_to_first_token_s]
            gate:
              - {{metric: time_to_first_token_s, stat: p95, max: 5}}
              - {{metric: exact_match, min: 1}}
            cases:
              - {{id: short, input: short, expected: Soon.}}
              - {{id: cut, input: long, expected: Soon.}}
              - {{id: plain, input: plain, expected: Soon.}}
            """,
        )
        files = ("--html", "r.html", "--markdown", "r.md", "--csv", "r.csv")
        done = project.evalkit("run", "streams.yaml", "--run-id", "one", *files)
    assert done.code == 0, done.out + done.err
    note = "1 answer was cut off at the token limit (cut)."
    assert note in " ".join(done.out.split())
    assert note in (project.folder / "r.html").read_text()
    assert note.partition(" (")[0] in (project.folder / "r.md").read_text()
    report = project.evalkit("gate", "one", "--format", "json").json
    assert report["cut_off"] == 1
    outputs = {case["id"]: case["trials"][0]["output"] for case in report["cases"]}
    assert 0.05 <= outputs["short"]["first_token_s"] < outputs["short"]["latency_s"]
    assert outputs["plain"]["first_token_s"] is None
    assert outputs["cut"]["flags"] == ["cut_off"]
    scores = {score["metric"]: score for score in report["cases"][2]["trials"][0]["scores"]}
    skipped = scores["time_to_first_token_s"]
    assert (skipped["state"], skipped["explanation"]) == (
        "skipped",
        "the agent does not stream its answer",
    )
    rows = list(csv.DictReader((project.folder / "r.csv").read_text().splitlines()))
    assert [bool(row["first_token_s"]) for row in rows] == [True, True, False]
    query = "select case_id, first_token_s > 0.04 as timed from trials order by case_id"
    found = project.evalkit("traces", "--sql", query, "--format", "json")
    assert [row["timed"] for row in found.json["rows"]] == [True, None, True], found.out
    assert "first token after" in project.evalkit("show", "one", "short").out
