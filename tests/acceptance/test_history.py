"""The history of a set: its runs and baseline in order, kept in a file that merges line by line."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from typing import Any

from tests.conftest import ECHO_SET, Project
from tests.report.test_html import tree_of
from tests.support.browser import check_page, open_page


def test_runs_and_baseline_are_told_in_order(project: Project) -> None:
    project.evalkit("baseline", "echo.yaml", "--trials", "2", "--agent-version", "v1")
    project.evalkit("run", "echo.yaml", "--agent-version", "v2")
    project.write("agent.py", "def answer(text):\n    return text\n")
    project.evalkit("run", "echo.yaml", "--agent-version", "v3")
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: two"))
    project.evalkit("run", "echo.yaml", "--agent-version", "v3")
    told = project.evalkit("history", "echo.yaml", "--format", "json").json
    assert told["schema"] == "evalkit.history/v1"
    rows = told["rows"]
    assert sorted(row["version"] for row in rows) == ["v1", "v2", "v3", "v3"]
    assert [row["kind"] for row in rows].count("baseline") == 1
    means = {
        (row["version"], row["definition"]): metric["mean"]
        for row in rows
        for metric in row["metrics"]
        if metric["metric"] == "exact_match" and metric["tag"] is None
    }
    assert sorted(means.values()) == [0, 1 / 3, 1, 1]
    assert sum(row["changed"] == "set" for row in rows) == 1
    for row in rows:
        metric = row["metrics"][0]
        assert metric["low"] <= metric["mean"] <= metric["high"]
        assert {"p50", "p95", "p99"} <= row["latency_s"].keys()
    table = project.evalkit("history", "echo.yaml").out
    assert re.search(r"now with.*\n.*  new set$", table, re.MULTILINE)
    first, *_, last = table.splitlines()
    assert first.startswith("FAIL  echo: Failing since v3")
    assert "last PASS v2" in first
    assert last == "FAIL  echo  3 runs  1 passed, 2 failed"
    rows = re.findall(r"^  \w+ \d+ \d\d:\d\d  (v\d) +(\w+) ", table, re.MULTILINE)
    assert rows == [("v3", "FAIL"), ("v3", "FAIL"), ("v2", "PASS"), ("v1", "baseline")]
    narrow = project.evalkit("history", "echo.yaml", env={"COLUMNS": "40"}).out
    assert narrow.count("verdict") == 4, "rows that are folded have room for the scores"


def test_errors_are_counted_by_what_went_wrong(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    raise SystemExit(text)\n")
    project.evalkit("run", "echo.yaml")
    [row] = project.evalkit("history", "echo.yaml", "--format", "json").json["rows"]
    assert sum(row["errors"].values()) == 3


def test_the_counts_name_the_agent_whose_runs_they_are(project: Project) -> None:
    project.write("other.py", "def answer(text):\n    return ''\n")
    project.evalkit("run", "echo.yaml", "--agent", "other.py:answer")
    for _ in range(2):
        project.evalkit("run", "echo.yaml")
    project.evalkit("run", "echo.yaml", "--case", "one")
    done = project.evalkit("history", "echo.yaml", "--html", "history.html")
    first, *_, last = done.out.splitlines()
    assert first == "PASS  echo: Both whole runs of ./agent.py passed."
    assert last == "PASS  echo  2 whole runs of ./agent.py  2 passed"
    page = (project.folder / "history.html").read_text()
    assert "Both whole runs of ./agent.py:answer passed." in page
    own = project.evalkit("history", "echo.yaml", "--agent", "./agent.py:answer", "--limit", "3")
    assert own.out.startswith("PASS  echo: Both whole runs passed.")


def test_a_recorded_history_outlives_the_runs_and_merges_by_lines(project: Project) -> None:
    record = project.folder / "history.jsonl"

    def tell() -> list[str]:
        done = project.evalkit(
            "history", "echo.yaml", "--record", "history.jsonl", "--format", "json"
        )
        return [row["id"] for row in done.json["rows"]]

    project.evalkit("run", "echo.yaml", "--run-id", "first")
    assert tell() == ["first"]
    ours = record.read_text()
    project.evalkit("run", "echo.yaml", "--run-id", "second")
    project.evalkit("run", "echo.yaml", "--run-id", "part", "--case", "one")
    assert sorted(tell()) == ["first", "part", "second"]
    theirs = record.read_text()
    assert theirs.startswith(ours), "lines that are there are never changed"
    kept = [json.loads(line)["id"] for line in theirs.splitlines()]
    assert kept == ["first", "second"], "a part of a set is no point of its history"
    for run in project.runs():
        for path in run.iterdir():
            path.unlink()
        run.rmdir()
    record.write_text(theirs + ours)
    assert sorted(tell()) == ["first", "second"]
    record.write_text(ours + "{}\n")
    done = project.evalkit("history", "echo.yaml", "--record", "history.jsonl")
    assert done.code == 2
    assert "history.jsonl:2: not a history row" in done.err
    assert record.read_text() == ours + "{}\n", "a file that cannot be read is left as it is"


def test_the_history_reads_back_as_csv_without_formulas(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--agent-version", "=cmd|'/C calc'!A0")
    done = project.evalkit("history", "echo.yaml", "--format", "csv")
    metric, threshold = csv.DictReader(io.StringIO(done.out))
    assert metric["version"] == "'=cmd|'/C calc'!A0"
    assert float(metric["mean"]) == 1
    assert metric["outcome"] == threshold["threshold_outcome"] == "pass"
    assert metric["verdict"] == "PASS"
    assert (threshold["threshold"], threshold["mean"]) == ("must_pass", "")


def test_a_set_without_runs_says_how_to_make_one(project: Project) -> None:
    done = project.evalkit("history", "echo.yaml")
    assert done.code == 5
    assert "evalkit run echo.yaml" in done.err
    assert project.evalkit("history", "ecko.yaml").code == 2


def test_the_page_holds_every_row_and_no_markup_of_others(project: Project) -> None:
    naughty = "v<script>1</script>"
    project.evalkit("run", "echo.yaml", "--agent-version", naughty)
    project.evalkit("run", "echo.yaml", "--agent-version", "v2")
    assert project.evalkit("history", "echo.yaml", "--html", "history.html").code == 0
    page = (project.folder / "history.html").read_text()
    tree = tree_of(page)
    assert page.count("<script") == 1
    assert "v&lt;script&gt;" in page
    assert sum(path[-1] == "svg" or "svg" in path[-3:] for path in tree.shape) > 0
    for run in project.runs():
        assert run.name in page
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_baselines_that_were_replaced_are_told_from_git(
    project: Project, git: Callable[..., str]
) -> None:
    git("init", "-q")
    for version in ("v1", "v2"):
        project.evalkit("baseline", "echo.yaml", "--trials", "1", "--agent-version", version)
        git("add", "-A", "--", "echo.yaml", "agent.py", "baselines")
        git("commit", "-qm", version)
    for run in project.runs():
        shutil.rmtree(run)
    rows = project.evalkit("history", "echo.yaml", "--format", "json").json["rows"]
    assert {(row["version"], row["kind"]) for row in rows} == {
        ("v1", "baseline"),
        ("v2", "baseline"),
    }


def test_errors_are_told_by_tool(project: Project) -> None:
    project.write(
        "agent.py",
        """
        def answer(text):
            calls = [{"name": "look", "arguments": {}, "error": "Timeout" if text == "two" else None}]
            return {"output": text.upper(), "tool_calls": calls}
        """,
    )
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("history", "echo.yaml", "--format", "json", "--html", "history.html")
    [row] = done.json["rows"]
    [look] = row["calls"]
    assert (look["name"], look["calls"], look["errors"]) == ("look", 3, 1)
    page = (project.folder / "history.html").read_text()
    assert "errors of tool look 33.3%" in page


def test_the_page_says_since_when_the_set_fails(project: Project, browser: Any) -> None:
    for number, (version, answer) in enumerate(
        (("v1", "text.upper()"), ("v2", "text"), ("v2", "text"))
    ):
        project.write("agent.py", f"def answer(text):\n    return {answer}\n")
        run_id = f"run{number}"
        project.evalkit("run", "echo.yaml", "--agent-version", version, "--run-id", run_id)
    project.write("other.py", "def answer(text):\n    return text.upper()\n")
    project.evalkit("run", "echo.yaml", "--agent", "./other.py:answer", "--agent-version", "o")
    done = project.evalkit("history", "echo.yaml", "--agent", "./other.py:anser")
    assert (done.code, "Did you mean './other.py:answer'?" in done.err) == (2, True)
    own = next(
        row["agent"]
        for row in project.evalkit("history", "echo.yaml", "--format", "json").json["rows"]
        if row["version"] == "v2"
    )
    done = project.evalkit(
        *("history", "echo.yaml", "--agent", own, "--format", "json", "--html", "own.html")
    )
    assert [row["result"]["outcome"] for row in done.json["rows"]] == ["pass", "fail", "fail"]
    page = (project.folder / "own.html").read_text()
    assert re.search(r"Failing since v2, [^<]*; last PASS v1, ", page)
    project.evalkit("history", "echo.yaml", "--html", "all.html")
    check_page(browser, project.folder / "all.html")
    with open_page(browser, (project.folder / "all.html").as_uri()) as shown:
        assert shown.locator(".runs tbody tr:visible").count() == 4
        shown.locator("#agent-1").check()
        assert shown.locator(".runs tbody tr:visible").count() == 1
        shown.locator(".hits a").first.focus()
        shown.keyboard.press("Enter")
        assert shown.locator(".runs tr:target").count() == 1


def test_a_run_that_stored_no_result_is_decided_again(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "old")
    [run] = project.runs()
    (run / "gate_result.json").unlink()
    [row] = (told := project.evalkit("history", "echo.yaml", "--format", "json").json)["rows"]
    assert (row["result"]["outcome"], row["result"]["is_recomputed"]) == ("pass", True)
    assert "1 run stored no result" in told["notes"][0]
