"""Runs at endpoints with rate limits, as commands."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter

import pytest

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, reply, served
from tests.support.stub_judges import completion, honest, replying

RUBRIC = """\
rubric: correct
needs: [reference]
pass_at: 1
criteria: [{name: agrees, question: Does it state what the reference states?}]
"""


class Limiter:
    """Refuses what is faster than a rate, and anything else once."""

    def __init__(self, rate: float, headers: dict[str, str] | None) -> None:
        self.rate, self.headers = rate, headers
        self.next_s = 0.0
        self.statuses: Counter[int] = Counter()
        self.arrivals_s: list[float] = []

    def __call__(self, asked: Asked) -> Play:
        now_s = time.monotonic()
        self.arrivals_s.append(now_s)
        if now_s < self.next_s:
            self.statuses[429] += 1
            return json_reply({"error": {"message": "slow"}}, status=429, headers=self.headers)
        self.statuses[200] += 1
        self.next_s = now_s + 1 / self.rate
        if b"BEGIN" in asked.body:
            return replying(honest)(asked)
        if b"/chat/completions" in asked.target.encode():
            return json_reply(completion("It is Paris."))
        return json_reply({"output": "It is Paris."})


def write_set(project: Project, agent: str, cases: int, rest: str = "") -> None:
    lines = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(cases))
    project.write("set.yaml", f"agent: {agent}\nconcurrency: 8\n{rest}\ncases:\n{lines}")
    project.write("correct.yaml", RUBRIC)


def test_agent_and_judge_at_one_endpoint_share_its_limit(project: Project) -> None:
    limiter = Limiter(10, {"Retry-After-Ms": "100"})
    with served(ScriptedServer(choose=limiter)) as server:
        chat = f"{{openai: {{model: m1, base_url: {server.url}/v1}}}}"
        write_set(project, chat, 8, f"judge: {chat}\nmetrics: [{{rubric: correct.yaml}}]")
        done = project.evalkit("run", "set.yaml", "--format", "json")
    assert done.code == 0, done.out + done.err
    assert {row.get("attempts", 1) for row in project.rows()} == {1}
    assert limiter.statuses[200] >= 16
    assert limiter.statuses[429] <= limiter.statuses[200] / 2


@pytest.mark.parametrize(
    "agent",
    [
        "{http: URL/ask, rate: 20/s}",
        "{openai: {model: m1, base_url: URL/v1}, rate: 1200/min}",
        "{http: URL/ask, tokens_per_min: 600000}",
    ],
)
def test_a_rate_in_the_set_avoids_every_refusal(project: Project, agent: str) -> None:
    limiter = Limiter(1e6, None)
    with served(ScriptedServer(choose=limiter)) as server:
        write_set(project, agent.replace("URL", server.url), 12, "metrics: [contains]")
        done = project.evalkit("run", "set.yaml")
    assert done.code == 0, done.out + done.err
    assert limiter.statuses == {200: 12}
    if "rate" in agent:
        gaps_s = [later - earlier for earlier, later in itertools.pairwise(limiter.arrivals_s)]
        assert sum(gaps_s) >= 11 * 0.05 - 0.02  # the server sees when a request has arrived


def test_a_rate_spaces_the_calls_of_a_function(project: Project) -> None:
    project.write(
        "agent.py",
        """
        import time

        def answer(text):
            with open("calls", "a") as log:
                log.write(f"{time.monotonic()}\\n")
            return "Paris"
        """,
    )
    write_set(project, "{python: ./agent.py:answer, rate: 10/s}", 6, "metrics: [contains]")
    done = project.evalkit("run", "set.yaml")
    assert done.code == 0, done.out + done.err
    calls_s = sorted(map(float, (project.folder / "calls").read_text().split()))
    assert calls_s[-1] - calls_s[0] >= 0.45


def test_an_outage_is_waited_out_and_a_wait_that_is_too_long_is_not(project: Project) -> None:
    asked: list[Asked] = []

    def choose(one: Asked) -> Play:
        asked.append(one)
        if 4 <= len(asked) <= 14:
            return reply("", status=529)
        return json_reply({"output": "Paris"})

    with served(ScriptedServer(choose=choose)) as server:
        write_set(project, f"{{http: {server.url}/ask, attempts: 1}}", 8, "metrics: [contains]")
        done = project.evalkit("run", "set.yaml")
    assert done.code == 0, done.out + done.err
    assert len(asked) == 8 + 11

    late = reply("", status=429, headers={"Retry-After": "3600"})
    with served(ScriptedServer((late,))) as server:
        write_set(project, f"{{http: {server.url}/ask}}", 30, "metrics: [contains]")
        started_s = time.monotonic()
        done = project.evalkit("run", "set.yaml")
    assert done.code == 3, done.out + done.err
    assert time.monotonic() - started_s < 20
    assert len(server.asked) <= 12
    errors = [
        row["output"]["error"]["message"] for row in project.rows() if row["output"].get("error")
    ]
    assert any("retry_deadline_s leaves 120 s" in message for message in errors)


def test_wrong_limits_are_told_together(project: Project) -> None:
    project.write(
        "set.yaml",
        """
        agent: {http: "http://127.0.0.1:1/ask", rate: 60, tokens_per_min: 0}
        judge: {openai: {model: m, base_url: "http://127.0.0.1:1/v1"}, rate: fast}
        cases: [{id: a, input: x}]
        """,
    )
    done = project.evalkit("validate", "set.yaml")
    assert done.code == 2
    assert "agent: rate must be calls per second, minute or hour" in done.err
    assert "such as 5/s, 60/min or 1000/h" in done.err
    assert "tokens_per_min must be more than 0" in done.err
    assert "judge: rate must be calls per second" in done.err
    assert json.dumps("fast")[1:-1] in done.err
