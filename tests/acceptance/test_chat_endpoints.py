"""Runs of chat models at endpoints with the quirks of real providers, as typed."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, reply, served
from tests.support.stub_judges import completion, honest, read_asking

RUBRIC = """
needs: [reference]
pass_at: 1
criteria:
  - {name: right, question: Does the answer state what the reference states?}
"""


def write_judged_set(project: Project, url: str) -> None:
    project.write("agent.py", "def answer(prompt):\n    return 'It is Paris.'\n")
    project.write("rubric.yaml", RUBRIC)
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\n"
        f"judge: {{openai: {{model: m1, base_url: {url}/v1}}, attempts: 2, deadline_s: 15}}\n"
        "metrics: [{rubric: rubric.yaml}]\n"
        "cases: [{id: good, input: Capital of France?, expected: Paris}]\n",
    )


def write_agent_set(project: Project, url: str, *, cases: int = 1) -> None:
    listed = "".join(f"  - {{id: c{n}, input: '{n}?', expected: Paris}}\n" for n in range(cases))
    project.write(
        "set.yaml",
        f"agent: {{openai: {{model: m1, base_url: {url}/v1, api_key_env: MY_KEY}}, attempts: 2}}\n"
        f"concurrency: 2\ncases:\n{listed}",
    )


def verdict(asked: Asked) -> str:
    return json.dumps(honest(read_asking(asked.json)))


def quirky(asked: Asked) -> Play:
    """Refuses a parameter and a mode as Gemini and OpenRouter do, and thinks before it replies."""
    if "seed" in asked.json:
        error = {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}
        return json_reply([{"error": error}], status=400)
    if "tools" in asked.json:
        error = {"message": "No endpoints found that support tool use.", "code": 404}
        return json_reply({"error": error}, status=404)
    if "response_format" in asked.json:
        return json_reply(completion("I think it is fine."))
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}
    text = f"\ufeff<think>could be {{x}}</think>\n\n```json\r\n{verdict(asked)}\r\n```"
    return json_reply(completion([thought, {"type": "text", "text": text}]))


def test_a_judge_is_understood_at_an_endpoint_with_every_quirk(project: Project) -> None:
    with served(ScriptedServer(choose=quirky)) as server:
        write_judged_set(project, server.url)
        done = project.evalkit("run", "set.yaml")
    assert done.code == 0, done.out + done.err
    assert "12 of 12 controls passed" in " ".join(done.out.split())
    # Of the 7 calls each was refused once for its seed at most, and few tried the modes.
    assert len(server.asked) <= 7 * 3 + 3


def test_a_reply_with_an_error_beside_each_verdict_scores_nothing(project: Project) -> None:
    def choose(asked: Asked) -> Play:
        return json_reply({**completion(verdict(asked)), "error": {"message": "degraded"}})

    with served(ScriptedServer(choose=choose)) as server:
        write_judged_set(project, server.url)
        done = project.evalkit("run", "set.yaml")
    assert done.code == 3, done.out + done.err
    assert "PASS" not in done.out
    told = " ".join(done.out.split())
    assert told.startswith("UNDECIDED set: Judge not checked: control")
    assert "the endpoint sent an error beside it: 'degraded'" in told


def test_an_agents_endpoint_that_is_overloaded_is_asked_again(project: Project) -> None:
    plays = (
        reply('{"error": {"message": "busy"}}', status=529),
        json_reply(completion("Paris")),
    )
    with served(ScriptedServer(plays)) as server:
        write_agent_set(project, server.url)
        done = project.evalkit("run", "set.yaml", env={"MY_KEY": "k"})
    assert (done.code, len(server.asked)) == (0, 2), done.out + done.err


@pytest.mark.parametrize(
    ("status", "error", "code", "words"),
    [
        (400, {"message": "Incorrect API key provided"}, 2, "refused the key in MY_KEY"),
        (400, {"message": "No."}, 2, "Check 'model', 'base_url', and the key in MY_KEY."),
        (402, {"message": "Insufficient credits"}, 3, "no credit left"),
    ],
)
def test_an_agent_whose_endpoint_refuses_every_call_is_not_called_for_every_case(
    project: Project, status: int, error: dict[str, str], code: int, words: str
) -> None:
    play = json_reply({"error": error}, status=status)
    with served(ScriptedServer((play,))) as server:
        write_agent_set(project, server.url, cases=40)
        done = project.evalkit("run", "set.yaml", env={"MY_KEY": "s3cret-key"})
    assert done.code == code, done.out + done.err
    assert 3 <= len(server.asked) <= 6, Counter(asked.target for asked in server.asked)
    told = " ".join((done.out + done.err).split())
    assert words in told
    assert "--resume --run-id" in told
    assert "s3cret" not in told
    if code == 2:
        assert done.err.startswith("set.yaml:1: agent openai: ")
        assert "MY_KEY" in done.err


def test_a_small_set_whose_every_request_is_refused_names_the_key(project: Project) -> None:
    play = json_reply({"error": "Unauthorized"}, status=401)
    with served(ScriptedServer((play,))) as server:
        write_agent_set(project, server.url, cases=1)
        done = project.evalkit("run", "set.yaml", env={"MY_KEY": "k"})
    assert (done.code, len(server.asked)) == (2, 1), done.out + done.err
    assert "refused the key in MY_KEY" in done.err
