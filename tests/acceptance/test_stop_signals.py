"""SIGTERM and ^C at any moment of a judged run: no call starts afterward, and what was paid for is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import pytest

from tests.acceptance.test_interrupted_runs import agents_left, wait_until
from tests.conftest import Project
from tests.support.scripted_server import (
    Asked,
    Play,
    ScriptedServer,
    json_reply,
    reply,
    served,
    slow,
)
from tests.support.stub_judges import honest, read_asking, replying

AGENT = """
def answer(text):
    with open("calls.log", "a") as log:
        log.write(text + "\\n")
    return f"{text}: it is Paris."
"""

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""


CASES = 24

NEVER_S = 60.0
"""Longer than any process may take to end."""

LIMIT_S = 10.0
"""A CI system kills what is left about so long after it has sent SIGTERM."""


@dataclass
class LoggedJudge:
    """A judge on loopback that notes when each request starts."""

    choose: Callable[[Asked], Play]
    started_s: list[float] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Play:
        self.started_s.append(time.monotonic())
        return self.choose(asked)


@dataclass(frozen=True)
class Stopped:
    """A command that a signal has stopped."""

    code: int
    out: str
    err: str
    took_s: float


def is_control(asked: Asked) -> bool:
    return not read_asking(asked.json).material.get("input", "").startswith("q")


def write_judged_set(project: Project, url: str, **judge: object) -> None:
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in judge.items())
    project.write("agent.py", AGENT)
    project.write("correctness.yaml", RUBRIC)
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(CASES))
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\nconcurrency: 2\n"
        f"judge: {{openai: {{model: m1, base_url: {url}/v1}}{more}}}\n"
        f"metrics: [{{rubric: correctness.yaml}}]\ncases:\n{rows}",
    )


@contextmanager
def started(project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> Stopped:
    """Send a signal, and wait for the end of the process."""
    sent_s = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return Stopped(process.returncode, out, err, time.monotonic() - sent_s)


def stop_while_judged(
    project: Project,
    judge: LoggedJudge,
    *arguments: str,
    ready: Callable[[], bool],
    number: int = signal.SIGTERM,
) -> Stopped:
    """Stop a command once `ready`; hold it to what is true of every stop."""
    with started(project, *arguments) as process:
        wait_until(ready)
        sent_s = time.monotonic()
        stopped = stop(process, number)
    assert stopped.code == 128 + number, stopped
    assert "Traceback" not in stopped.err
    assert stopped.took_s < LIMIT_S
    # A request that was sent before the signal may arrive a moment later.
    late = [each - sent_s for each in judge.started_s if each > sent_s + 0.2]
    assert not late, "a call of the judge started after the signal"
    wait_until(lambda: not agents_left(project), 5)
    return stopped


def agent_calls(project: Project) -> int:
    log = project.folder / "calls.log"
    return len(log.read_text().split()) if log.exists() else 0


def hang(_: Asked) -> Play:
    return slow(reply("never"), NEVER_S)


def limit_rate(_: Asked) -> Play:
    return reply("", status=429, headers={"Retry-After": "2"})


def refuse_modes(_: Asked) -> Play:
    return slow(json_reply({"error": {"message": "response_format"}}, status=400), 0.3)


def hang_at_controls(asked: Asked) -> Play:
    return hang(asked) if is_control(asked) else replying(honest)(asked)


def take_half_a_second(asked: Asked) -> Play:
    return slow(replying(honest)(asked), 0.5)


@pytest.mark.parametrize(
    ("choose", "number"),
    [
        (take_half_a_second, signal.SIGINT),
        pytest.param(refuse_modes, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(limit_rate, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_no_call_starts_after_a_signal_and_a_resumed_run_repays_nothing(
    project: Project, choose: Callable[[Asked], Play], number: int
) -> None:
    judge = LoggedJudge(choose)
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url)
        stopped = stop_while_judged(
            project,
            judge,
            "run",
            "set.yaml",
            ready=lambda: len(judge.started_s) > 3 and agent_calls(project) > 3,
            number=number,
        )
        paid = agent_calls(project)
        assert paid < CASES, "the run ended before the signal"
        said = " ".join(stopped.out.split())
        assert f"--resume --run-id {project.runs()[-1].name}" in said
        assert "unscored answer" in said or choose is take_half_a_second
        assert all(row["scores"][0].get("state") != "judge_error" for row in project.rows()), (
            "a verdict that nobody gave is stored"
        )
        judge.choose = replying(honest)
        resumed = project.evalkit("run", "set.yaml", "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert agent_calls(project) == CASES, "an answer was paid for twice"


@pytest.mark.slow
def test_a_judge_that_hangs_does_not_keep_a_stopped_run(project: Project) -> None:
    judge = LoggedJudge(hang)
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url)
        stopped = stop_while_judged(
            project, judge, "run", "set.yaml", ready=lambda: len(judge.started_s) > 3
        )
    assert f"and {agent_calls(project)} unscored answers" in " ".join(stopped.out.split())


def test_a_run_that_is_stopped_at_its_last_controls_is_not_finished(project: Project) -> None:
    judge = LoggedJudge(hang_at_controls)
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url, concurrency=32)

        def is_scored() -> bool:
            stored = [run for run in project.runs() if (run / "trials.jsonl").exists()]
            return bool(stored) and len(project.rows(stored[0])) == CASES

        stopped = stop_while_judged(project, judge, "run", "set.yaml", ready=is_scored)
        assert "cannot be trusted" not in stopped.out
        asked = len(judge.started_s)
        judge.choose = replying(honest)
        resumed = project.evalkit("run", "set.yaml", "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert agent_calls(project) == CASES
    assert len(judge.started_s) - asked <= 12, "only the controls are asked again"


@pytest.mark.slow
def test_score_baseline_and_calibrate_stop_as_a_run_does(project: Project) -> None:
    judge = LoggedJudge(take_half_a_second)
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url)
        assert project.evalkit("ask", "set.yaml", "--run-id", "asked").code == 0
        project.write(
            "labels.csv",
            "level,rater,answer,reference\n"
            + "".join(f"yes,ann,Paris {n},Paris\n" for n in range(CASES)),
        )
        commands = (
            ("score", "asked", "--set", "set.yaml"),
            ("baseline", "set.yaml"),
            ("calibrate", "correctness.yaml", "labels.csv", "--set", "set.yaml"),
        )
        for arguments in commands:
            asked = len(judge.started_s)
            stopped = stop_while_judged(
                project,
                judge,
                *arguments,
                ready=lambda asked=asked: len(judge.started_s) > asked + 2,  # type: ignore[misc]
            )
            assert stopped.took_s < 4, arguments
            assert "interrupted" in stopped.out + stopped.err
            assert len(judge.started_s) < asked + CASES, arguments


def test_a_run_is_stopped_while_it_judges_its_baseline_again(project: Project) -> None:
    judge = LoggedJudge(replying(honest))
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url)
        assert project.evalkit("baseline", "set.yaml", "--trials", "1").code == 0
        project.write("correctness.yaml", RUBRIC.replace("Does the", "Does this"))
        judge.choose = take_half_a_second
        calls, asked = agent_calls(project), len(judge.started_s)
        stopped = stop_while_judged(
            project, judge, "run", "set.yaml", ready=lambda: len(judge.started_s) > asked + 2
        )
    assert stopped.took_s < 4
    assert "interrupted while the baseline was scored again" in stopped.err
    assert agent_calls(project) == calls


def test_no_retry_of_the_agent_starts_after_a_signal(project: Project) -> None:
    server_log = LoggedJudge(lambda _: reply("", status=503, headers={"Retry-After": "3"}))
    with served(ScriptedServer(choose=server_log)) as server:
        project.write(
            "set.yaml",
            f"agent: {{http: {server.url}/ask}}\ncases:\n  - {{id: a, input: a, expected: a}}\n",
        )
        stopped = stop_while_judged(
            project, server_log, "ask", "set.yaml", ready=lambda: bool(server_log.started_s)
        )
    assert stopped.took_s < 2.5, "the wait before the retry was not cut"
    assert project.runs()
    assert not (project.runs()[-1] / "trials.jsonl").read_text()


def test_a_second_signal_ends_a_hanging_judge_at_once(project: Project) -> None:
    judge = LoggedJudge(hang)
    with served(ScriptedServer(choose=judge)) as server:
        write_judged_set(project, server.url)
        with started(project, "run", "set.yaml") as process:
            wait_until(lambda: len(judge.started_s) > 2)
            process.terminate()
            time.sleep(0.3)
            assert process.poll() is None
            stopped = stop(process)
    assert stopped.code == 143
    assert stopped.took_s < 3
    assert not [each for each in psutil.Process().children() if each.pid == process.pid]
