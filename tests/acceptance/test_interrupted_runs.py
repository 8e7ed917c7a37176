"""kill -9, ^C, cancelled jobs, torn files: nothing that finished is lost or paid for twice."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from tests.conftest import Project

CASES = 400
CONCURRENCY = 4

LOGGING_AGENT = """
    import os, time

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def answer(text):
        os.write(LOG, (text + "\\n").encode())
        if not os.path.exists("hurry"):
            time.sleep(SLEEP_S)
        return text.upper()
"""


def write_long_set(project: Project, cases: int = CASES, sleep_s: float = 0.02) -> None:
    project.write("agent.py", LOGGING_AGENT.replace("SLEEP_S", str(sleep_s)))
    rows = [f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}" for n in range(cases)]
    project.write(
        "long.yaml",
        "agent: {python: ./agent.py:answer}\n"
        f"concurrency: {CONCURRENCY}\ncases:\n" + "\n".join(rows) + "\n",
    )


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def calls(project: Project) -> list[str]:
    log = project.folder / "calls.log"
    return log.read_text().split() if log.exists() else []


def whole_rows(project: Project) -> list[dict[str, Any]]:
    """The rows of the newest run that were written whole."""
    if not project.runs():
        return []
    path = project.runs()[-1] / "trials.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def wait_until(condition: Any, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def agents_left(project: Project) -> list[int]:
    """Processes that still run in the project's folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cwd", "status"])
        if process.info["cwd"] == str(project.folder) and process.info["status"] != "zombie"
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_25_kills_at_random_moments_lose_and_repay_nothing(project: Project, seed: int) -> None:
    rng = random.Random(seed)
    write_long_set(project, sleep_s=0.1)
    for kill in range(25):
        resume = (
            ["--resume"] if project.runs() and (project.runs()[-1] / "run.json").exists() else []
        )
        stored_before = {row["case_id"] for row in whole_rows(project)}
        calls_before = len(calls(project))
        process = start(project, "run", "long.yaml", *resume)
        # One kill in four anywhere in start-up, the others while trials finish.
        if kill % 4:
            wait_until(lambda: len(calls(project)) > calls_before)  # noqa: B023 - called at once
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
        stored = [row["case_id"] for row in whole_rows(project)]
        assert len(stored) == len(set(stored)), "a case was stored twice"
        assert stored_before <= set(stored), f"kill {kill} lost a stored trial"
        made = calls(project)[calls_before:]
        assert not stored_before & {call.replace("q", "c") for call in made}, "paid for twice"
        assert len(made) - (len(stored) - len(stored_before)) <= CONCURRENCY
        assert len(stored) < CASES, "the run ended before the last kill"
    wait_until(lambda: not agents_left(project), 5)
    clear_debris(project)
    project.write("hurry", "")
    finished = project.evalkit("run", "long.yaml", "--resume", "--format", "json")
    assert finished.code == 0, finished
    assert finished.json["tally"]["counts"]["scored"] == CASES
    assert sorted(row["case_id"] for row in project.rows()) == sorted(f"c{n}" for n in range(CASES))


def clear_debris(project: Project) -> None:
    """A kill leaves folders that are no runs: with half a header, or the record of the command."""
    for folder in (project.folder / ".evalkit" / "runs").iterdir():
        if not (folder / "run.json").exists():
            allowed = (".run.json.", ".batch.json.", "batch.json")
            assert all(path.name.startswith(allowed) for path in folder.iterdir())
            shutil.rmtree(folder)


def test_a_resumed_run_reports_what_an_uninterrupted_one_reports(project: Project) -> None:
    write_long_set(project, 60)
    process = start(project, "run", "long.yaml", "--run-id", "cut")
    wait_until(lambda: len(whole_rows(project)) > 5)
    process.kill()
    process.communicate()
    assert len(project.rows(project.folder / ".evalkit/runs/cut")) < 60
    resumed = project.evalkit("run", "long.yaml", "--resume", "--run-id", "cut", "--format", "json")
    whole = project.evalkit("run", "long.yaml", "--format", "json")
    assert without_times(resumed.json) == without_times(whole.json)


def without_times(report: dict[str, Any]) -> Any:
    """A report without what may differ between two runs of the same thing."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            times = {"created", "latency_s", "started_s", "took_s"}
            dropped = {"id", "path", "attempts", "next"} | times
            return {name: strip(item) for name, item in value.items() if name not in dropped}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(report)


def test_resuming_a_finished_run_calls_nobody(project: Project) -> None:
    write_long_set(project, 5)
    first = project.evalkit("run", "long.yaml", "--run-id", "whole", "--format", "json")
    again = project.evalkit("run", "long.yaml", "--resume", "--run-id", "whole", "--format", "json")
    assert again.code == 0
    assert len(calls(project)) == 5
    assert without_times(again.json) == without_times(first.json)


def test_interrupting_once_stops_saves_and_tells_how_to_go_on(project: Project) -> None:
    write_long_set(project)
    process = start(project, "run", "long.yaml")
    wait_until(lambda: len(whole_rows(project)) > 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    run_id = project.runs()[-1].name
    assert f"--resume --run-id {run_id}" in " ".join(out.decode().split())
    stored = len(project.rows())
    assert 3 < stored < CASES
    resumed = project.evalkit("run", "long.yaml", "--resume", "--run-id", run_id)
    assert resumed.code == 0, resumed
    assert len(calls(project)) == CASES, "a trial that finished after ^C was paid for again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_agent_is_called_after_a_signal(project: Project, number: int) -> None:
    write_long_set(project, cases=20, sleep_s=1)
    process = start(project, "run", "long.yaml", "--concurrency", "2")
    wait_until(lambda: len(calls(project)) == 2)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert len(calls(project)) == 2
    assert len(project.rows()) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once(project: Project, number: int, code: int) -> None:
    project.write("agent.py", "import time\ndef answer(text):\n    time.sleep(60)\n")
    process = start(project, "run", "echo.yaml")
    wait_until(project.runs)
    time.sleep(0.5)
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None, "the first signal must wait for running trials"
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == code, err
    assert project.rows() == []
    wait_until(lambda: not agents_left(project), 5)


def test_a_cancelled_job_exits_143_and_keeps_its_work(project: Project) -> None:
    write_long_set(project)
    process = start(project, "run", "long.yaml")
    wait_until(lambda: len(whole_rows(project)) > 3)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert len(project.rows()) > 3


def test_a_torn_last_line_is_dropped_and_told(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "torn")
    run = project.runs()[-1]
    (run / "summary.json").unlink()
    with (run / "trials.jsonl").open("ab") as stream:
        stream.write(b'{"case_id": "thr')
    shown = project.evalkit("show", "torn")
    assert shown.code == 0
    assert "torn" in shown.out
    resumed = project.evalkit("run", "echo.yaml", "--resume", "--run-id", "torn")
    assert resumed.code == 0, resumed
    assert len(project.rows(run)) == 3


def test_garbage_in_the_middle_is_named_and_repaired_around(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "bad")
    trials = project.runs()[-1] / "trials.jsonl"
    lines = trials.read_bytes().splitlines(keepends=True)
    trials.write_bytes(lines[0] + b"\x00garbage\n" + b"".join(lines[1:]))
    shown = project.evalkit("show", "bad")
    assert shown.code == 3
    assert "trials.jsonl:2" in shown.err
    assert "evalkit repair bad" in shown.err
    repaired = project.evalkit("repair", "bad")
    assert repaired.code == 0
    assert "kept 3 trials, dropped 1" in repaired.out
    assert project.evalkit("gate", "bad").code == 0


@pytest.mark.parametrize("name", ["run.json", "trials.jsonl"])
def test_an_emptied_file_is_no_traceback_and_no_green(project: Project, name: str) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "emptied")
    (project.runs()[-1] / name).write_bytes(b"")
    assert project.evalkit("gate", "emptied").code == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("expected: TWO", "expected: ZWEI"), "two"),
        (("[exact_match]", "[{exact_match: {normalize: [case]}}]"), "metrics"),
        (("./agent.py:answer", "./agent.py:other"), "agent_entrypoint"),
        (("input: three", "input: drei"), "three"),
    ],
)
def test_a_run_of_something_else_is_not_resumed(
    project: Project, change: tuple[str, str], named: str
) -> None:
    project.write("agent.py", "def answer(text):\n    return text.upper()\nother = answer\n")
    project.evalkit("run", "echo.yaml", "--run-id", "first")
    (project.runs()[-1] / "summary.json").unlink()
    project.write("echo.yaml", (project.folder / "echo.yaml").read_text().replace(*change))
    done = project.evalkit("run", "echo.yaml", "--resume", "--run-id", "first")
    assert done.code == 2, done
    assert named in done.err
    assert "Start a new run" in done.err


def test_a_run_that_is_being_written_is_not_written_by_another(project: Project) -> None:
    write_long_set(project, sleep_s=0.5)
    process = start(project, "run", "long.yaml", "--run-id", "mine")
    wait_until(lambda: len(whole_rows(project)) > 3)
    second = project.evalkit("run", "long.yaml", "--resume", "--run-id", "mine")
    process.kill()
    process.communicate()
    assert second.code == 2
    assert "another process" in second.err
    third = project.evalkit("run", "long.yaml", "--run-id", "mine")
    assert third.code == 2
    assert "there is a run 'mine'" in third.err


def test_a_run_can_be_read_while_it_is_written(project: Project) -> None:
    write_long_set(project, sleep_s=0.2)
    process = start(project, "run", "long.yaml")
    wait_until(lambda: len(whole_rows(project)) > 3)
    shown = project.evalkit("gate", "latest", "--format", "json")
    process.kill()
    process.communicate()
    assert shown.code == 3
    counts = shown.json["tally"]["counts"]
    assert counts["scored"] + counts["not_run"] == CASES


def test_an_agent_that_rewrites_the_run_is_found_out(project: Project) -> None:
    project.write(
        "agent.py",
        """
        import pathlib
        def answer(text):
            for path in pathlib.Path(".evalkit/runs").glob("*/trials.jsonl"):
                path.unlink()
                path.write_text("")
            return text.upper()
        """,
    )
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3
    assert "replaced by something else" in done.err


def test_errors_can_be_run_again_without_paying_for_the_rest(project: Project) -> None:
    project.write(
        "agent.py",
        LOGGING_AGENT.replace(
            "time.sleep(SLEEP_S)", "assert text != 'two' or os.path.exists('up')"
        ),
    )
    assert project.evalkit("run", "echo.yaml", "--run-id", "half").code == 3
    (project.folder / "up").touch()
    done = project.evalkit("run", "echo.yaml", "--resume", "--run-id", "half", "--retry-errors")
    assert done.code == 0, done
    assert sorted(calls(project)) == ["one", "three", "two", "two"]


def test_an_output_without_room_for_it_fails_without_a_torn_file(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "done")
    old = project.write("out/report.xml", "old")
    done = project.evalkit(
        "gate",
        "done",
        "--junit",
        "out/report.xml",
        preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert done.code == 3
    assert "report.xml: could not save" in done.err
    assert old.read_text() == "old"


def test_the_clock_may_go_backwards(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "future")
    in_2099_ns = 4_070_908_800 * 10**9
    os.utime(project.runs()[-1] / "run.json", ns=(in_2099_ns, in_2099_ns))
    project.evalkit("run", "echo.yaml", "--run-id", "now")
    assert project.evalkit("show", "latest", "--format", "json").json["run"]["id"] == "now"
