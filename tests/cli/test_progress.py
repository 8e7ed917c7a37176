"""The progress of a run in a log of CI: lines at the start, every 10 % or 30 s, and at the end."""

from __future__ import annotations

import json

from evalkit.cli.progress_log import ProgressLog
from evalkit.core.context import Stage
from evalkit.core.trial import AgentError, Output, Trial
from tests.conftest import Project


def trial(case_id: str, passed: bool | None, *, number: int = 0) -> Trial:
    """A trial that passed, failed, or got no answer."""
    error = AgentError(kind="exception", message="no") if passed is None else None
    output = Output(text="", error=error, latency_s=0.0, cost_usd=0.25)
    return Trial(case_id=case_id, number=number, output=output, scores=())


class Clock:
    """Time that moves only when it is told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_in_ci_a_run_says_how_far_it_is_and_stdout_stays_json(project: Project) -> None:
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
    )
    command = ("run", "echo.yaml", "--trials", "10", "--format", "json")
    done = project.evalkit(*command, env={"CI": "true"})
    assert json.loads(done.out)["exit_code"] == 1
    lines = [line for line in done.err.splitlines() if line.startswith("echo  ")]
    assert lines[0] == "echo  start   30 trials"
    # It is over in seconds, so nobody waits for news.
    assert len(lines) == 2, lines
    assert lines[-1].endswith("30/30  20 pass, 10 newly failing, 0 as before")
    # Without CI, and with --quiet, nothing.
    assert "30/30" not in project.evalkit(*command).err
    assert "30/30" not in project.evalkit(*command, "--quiet", env={"CI": "true"}).err


def test_an_agent_that_hangs_is_named_by_its_silence() -> None:
    lines: list[str] = []
    clock = Clock()
    stage = Stage(evalset="s", total=100, passing={"a"})
    log = ProgressLog(stage, lines.append, clock)
    log.start()
    clock.now_s = 20.0
    log.finished(trial("a", None))
    log.tick()
    assert lines == ["s  start   100 trials"]
    clock.now_s = 31.0
    log.tick()
    assert (
        lines[-1]
        == "s  31 s    1/100  0 pass, 0 newly failing, 0 as before, 1 error, $0.25, 51 min left"
    )
    clock.now_s = 61.5
    log.tick()
    log.tick()
    [silent] = lines[2:]
    assert silent.startswith("s  62 s    1/100  0 pass")
    assert silent.endswith(", 42 s without a finished trial")


def test_a_further_stage_goes_on_counting() -> None:
    lines: list[str] = []
    earlier = [trial(f"c{number}", None) for number in range(50)]
    stage = Stage(evalset="s", total=60, earlier=earlier, label="look after 2 of up to 3 trials")
    clock = Clock()
    log = ProgressLog(stage, lines.append, clock)
    log.start()
    for number in range(10):
        clock.now_s += 1.5
        log.finished(trial(f"c{number}", None, number=1))
    log.end()
    assert lines[0] == "s  start   10 trials, look after 2 of up to 3 trials, 50 more are stored"
    assert [line.split()[3] for line in lines[1:]] == ["54/60", "60/60"]
    assert "60 errors, $15.00" in lines[-1]
