"""`run --dry-run` names the most calls of a run: real runs on loopback make no more, and not far fewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, reply, served
from tests.support.stub_judges import completion, honest, read_asking, replying

AGENT = """
import pathlib

def answer(text, context):
    with open("calls.log", "a") as log:
        log.write("x")
    broken = pathlib.Path("broken").exists() and text in ("q0", "q1")
    return f"{text} {context['trial']}: it is " + ("Rome." if broken else "Paris.")
"""

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
anchors: anchors.csv
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""

ANCHORS = """
level,rater,answer,reference
yes,ann,It is Paris.,Paris
no,ann,It is Lyon.,Paris
"""

CASES = 6


def write_set(project: Project, judge: str, more: str = "") -> None:
    project.write("agent.py", AGENT)
    project.write("correctness.yaml", RUBRIC)
    project.write("anchors.csv", ANCHORS)
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(CASES))
    talk = "  - {id: talk, input: [hello, and?], expected: Paris}\n"
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\njudge: {judge}\n"
        f"metrics: [{{rubric: correctness.yaml}}]\n{more}cases:\n{rows}{talk}",
    )


def name_judge(url: str, **options: object) -> str:
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in options.items())
    return f"{{openai: {{model: m1, base_url: {url}/v1}}{more}}}"


def agent_calls(project: Project) -> int:
    log = project.folder / "calls.log"
    return len(log.read_text()) if log.exists() else 0


def run_and_compare(
    project: Project, *servers: ScriptedServer, options: tuple[str, ...] = ()
) -> tuple[Any, int, int]:
    """Return the preview, and how many calls of the agent and of the judges the run then made."""
    preview = project.evalkit("run", "set.yaml", "--dry-run", "--format", "json", *options)
    assert preview.code == 0, preview.err
    assert not project.runs() or agent_calls(project), "a dry run calls nobody"
    before = agent_calls(project), sum(len(server.asked) for server in servers)
    done = project.evalkit("run", "set.yaml", *options)
    # An endpoint that refuses everything ends the run with 2, after the agent was called.
    assert done.code in (0, 1, 3) or "The answers are stored" in done.err, done.err
    agents = agent_calls(project) - before[0]
    judged = sum(len(server.asked) for server in servers) - before[1]
    assert agents <= preview.json["agent_calls"]
    assert judged <= preview.json["judge_calls"]
    return preview.json, agents, judged


def test_a_run_on_a_good_endpoint_makes_the_expected_calls(project: Project) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        write_set(project, name_judge(server.url, votes=3))
        said = project.evalkit("run", "set.yaml", "--dry-run").out
        preview, agents, judged = run_and_compare(project, server)
    assert (agents, preview["agent_calls"]) == (CASES + 2, CASES + 2)
    [judge] = preview["judges"]
    assert judged == judge["expected_calls"]
    assert judge["calls"] == preview["judge_calls"] <= 12 * judged
    folded = " ".join(said.split())
    assert f"calls: at most {agents} agent calls and {judge['calls']} judge calls" in folded
    assert "without retries after rate limits, timeouts" in folded


REFUSED = ("temperature", "seed", "max_tokens", "max_completion_tokens")


def refuse_all_but_text(asked: Asked) -> Play:
    """An endpoint that accepts no parameter and returns JSON in no mode, one refusal at a time."""
    body = asked.json
    for name in (*REFUSED, "response_format", "tools"):
        if name in body:
            error = {"message": f"unsupported parameter: {name}", "param": name}
            if name == "max_tokens":
                error["message"] += ", use max_completion_tokens"
            return json_reply({"error": error}, status=400)
    return replying(honest)(asked)


def reply_prose_first(asked: Asked) -> Play:
    if len(asked.json["messages"]) > 2:
        return replying(honest)(asked)
    return json_reply(completion("It is right, I would say."))


def reply_with_a_wrong_nonce(asked: Asked) -> Play:
    said = honest(read_asking({"messages": asked.json["messages"][:2]}))
    return json_reply(completion(json.dumps({**said, "nonce": "0" * 16})))


def refuse_everything(_: Asked) -> Play:
    return json_reply({"error": {"message": "no"}}, status=400)


@pytest.mark.parametrize(
    "choose",
    [
        refuse_all_but_text,
        pytest.param(reply_prose_first, marks=pytest.mark.slow),
        pytest.param(reply_with_a_wrong_nonce, marks=pytest.mark.slow),
        pytest.param(refuse_everything, marks=pytest.mark.slow),
    ],
)
def test_the_bound_holds_on_a_picky_endpoint(
    project: Project, choose: Callable[[Asked], Play]
) -> None:
    with served(ScriptedServer(choose=choose)) as server:
        judge = f"{{openai: {{model: m1, base_url: {server.url}/v1, max_tokens: 900}}}}"
        write_set(project, judge)
        run_and_compare(project, server)


@pytest.mark.slow
def test_the_bound_holds_when_every_judge_is_needed_and_the_baseline_is_judged_again(
    project: Project,
) -> None:
    asked_first = 0

    def fail_late(asked: Asked) -> Play:
        nonlocal asked_first
        asked_first += 1
        return replying(honest)(asked) if asked_first < 40 else reply("no", status=401)

    with (
        served(ScriptedServer(choose=fail_late)) as first,
        served(ScriptedServer(choose=replying(honest))) as second,
    ):
        write_set(project, f"[{name_judge(first.url)}, {name_judge(second.url)}]")
        assert project.evalkit("baseline", "set.yaml", "--trials", "3").code == 0
        project.write("correctness.yaml", RUBRIC.replace("Does the", "Does this"))
        asked_first = 25
        preview, _, judged = run_and_compare(project, first, second)
        assert first.asked
        assert second.asked
    assert len(preview["judges"]) == 2
    assert preview["judge_calls"] <= 16 * judged


def test_the_bound_counts_looks_and_fresh_trials(project: Project) -> None:
    gate = "gate:\n  - broken_cases: 0\n  - {metric: correctness, min: 0.2}\n"
    with served(ScriptedServer(choose=replying(honest))) as server:
        write_set(project, name_judge(server.url), gate)
        assert project.evalkit("baseline", "set.yaml", "--trials", "10").code == 0
        (project.folder / "broken").touch()
        preview, agents, _ = run_and_compare(project, server)
    assert preview["expected_agent_calls"] == CASES + 2
    assert agents > preview["expected_agent_calls"], "no fresh trial was run"
    assert preview["agent_calls"] == (preview["most_trials"] + 4) * (CASES + 2)


def test_the_bound_is_that_of_the_selected_cases_and_of_the_named_baseline(
    project: Project,
) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        write_set(project, name_judge(server.url))
        preview, agents, judged = run_and_compare(project, server, options=("--limit", "2"))
    assert (agents, preview["agent_calls"]) == (2, 2)
    assert judged == preview["judges"][0]["expected_calls"]
