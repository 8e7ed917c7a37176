"""Stored runs under other hands: repaired, resumed, read or deleted while they are written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import pytest

from evalkit.core.files import open_stored_file, read_stored_file
from evalkit.core.run import Run
from evalkit.store.runs import read_run
from tests.conftest import Project

LOGGING_AGENT = """
    import os, time

    if os.path.exists("slow"):
        time.sleep(2)
    LOG = open("calls.log", "a", buffering=1)

    def answer(text, case):
        LOG.write(case["case_id"] + "\\n")
        time.sleep(0.15)
        return text
"""
SLOW_METRIC = """
    import time
    from evalkit import Score

    def slow(case, output):
        time.sleep(0.2)
        return Score(value=1.0, passed=True)
"""


def write_set(project: Project, cases: int, metrics: str = "[exact_match]") -> None:
    project.write("agent.py", LOGGING_AGENT)
    project.write("slow.py", SLOW_METRIC)
    rows = "\n".join(f"  - {{id: c{n}, input: x, expected: x}}" for n in range(cases))
    project.write(
        "s.yaml",
        "evalset: s\nagent: {python: ./agent.py:answer}\nconcurrency: 2\n"
        f"metrics: {metrics}\ngate: [{{metric: exact_match, min: 0.1}}]\ncases:\n{rows}\n",
    )


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def count_calls(project: Project) -> int:
    return count_lines(project.folder / "calls.log")


def find_trials(project: Project, run_id: str) -> Path:
    return project.folder / ".evalkit" / "runs" / run_id / "trials.jsonl"


def kill_after(process: subprocess.Popen[bytes], path: Path, lines: int) -> None:
    wait_until(lambda: count_lines(path) >= lines)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_run_that_is_written_can_be_neither_repaired_nor_resumed(project: Project) -> None:
    write_set(project, 60)
    running = start(project, "run", "s.yaml", "--run-id", "z")
    wait_until(lambda: count_calls(project) > 0)
    for arguments in (("repair", "z"), ("run", "s.yaml", "--resume", "--run-id", "z")):
        refused = project.evalkit(*arguments)
        assert refused.code == 2
        assert "run 'z' is being written by another process" in refused.err
    running.communicate()
    assert running.returncode == 0
    assert count_calls(project) == count_lines(find_trials(project, "z")) == 60


def test_of_two_resumes_only_one_calls_the_agent(project: Project) -> None:
    write_set(project, 12)
    kill_after(start(project, "run", "s.yaml", "--run-id", "z"), find_trials(project, "z"), 4)
    paid = count_calls(project)
    stored = count_lines(find_trials(project, "z"))
    project.write("slow", "")
    resumed = [start(project, "run", "s.yaml", "--resume", "--run-id", "z") for _ in range(2)]
    for process in resumed:
        process.communicate()
    assert sorted(process.returncode for process in resumed) == [0, 2]
    assert count_calls(project) == paid + 12 - stored


def test_each_command_resumes_its_own_runs(project: Project) -> None:
    write_set(project, 10, "[exact_match, ./slow.py:slow]")
    assert project.evalkit("run", "s.yaml", "--run-id", "full").code == 0
    kill_after(
        start(project, "score", "full", "--run-id", "again"), find_trials(project, "again"), 3
    )
    kill_after(
        start(project, "ask", "s.yaml", "--run-id", "asked"), find_trials(project, "asked"), 3
    )
    paid = count_calls(project)

    refused = project.evalkit("run", "s.yaml", "--resume")
    assert refused.code == 2
    assert "no unfinished run of 'evalkit run'" in refused.err
    refused = project.evalkit("run", "s.yaml", "--resume", "--run-id", "again")
    assert refused.code == 2
    command = "evalkit score full --resume --run-id again"
    assert command in refused.err
    assert command in project.evalkit("show", "again").out
    assert count_calls(project) == paid

    scored = find_trials(project, "again").read_bytes()
    assert project.evalkit(*command.split()[1:]).code == 0
    assert find_trials(project, "again").read_bytes().startswith(scored)
    assert count_lines(find_trials(project, "again")) == 10
    assert count_calls(project) == paid

    stored = count_lines(find_trials(project, "asked"))
    assert project.evalkit("ask", "s.yaml", "--resume").code == 0
    assert count_calls(project) == paid + 10 - stored


def test_a_run_whose_folder_is_deleted_stops_at_the_next_answer(project: Project) -> None:
    write_set(project, 60)
    running = start(project, "run", "s.yaml", "--run-id", "z")
    wait_until(lambda: count_lines(find_trials(project, "z")) >= 3)
    shutil.rmtree(project.folder / ".evalkit/runs/z")
    paid = count_calls(project)
    _, errors = running.communicate()
    assert running.returncode == 3
    assert b"deleted or replaced by something else" in errors
    assert b"Traceback" not in errors
    assert count_calls(project) <= paid + 4


@pytest.mark.parametrize("leftover", ["", ".run.json.abc123", "trials.jsonl"])
def test_a_folder_without_a_header_is_no_run_and_blocks_no_id(
    project: Project, leftover: str
) -> None:
    write_set(project, 1)
    folder = find_trials(project, "job7").parent
    folder.mkdir(parents=True)
    if leftover:
        (folder / leftover).write_text('{"case_id": "c0"}\n')
    refused = project.evalkit("run", "s.yaml", "--resume", "--run-id", "job7")
    assert refused.code == 2
    assert "no unfinished run 'job7'" in refused.err
    assert project.evalkit("run", "s.yaml", "--run-id", "job7").code == 0
    assert [row["case_id"] for row in project.rows(folder)] == ["c0"]


def test_a_reader_never_accuses_a_run_that_finishes_or_is_resumed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(project, 2)
    assert project.evalkit("run", "s.yaml", "--run-id", "z").code == 0
    folder = find_trials(project, "z").parent
    finished = {path.name: path.read_bytes() for path in folder.iterdir()}
    first = finished["trials.jsonl"].splitlines(keepends=True)[0]

    def read_between(before: dict[str, bytes], after: dict[str, bytes], seen: str) -> Run:
        """Read the run while another process replaces `before` by `after`, right after `seen` is read."""
        for name in finished:
            (folder / name).unlink(missing_ok=True)
        for name, content in before.items():
            (folder / name).write_bytes(content)

        def change(name: str) -> None:
            if name != seen:
                return
            monkeypatch.undo()
            for gone in before.keys() - after.keys():
                (folder / gone).unlink()
            for stored, text in after.items():
                (folder / stored).write_bytes(text)

        def read_and_change(path: Path) -> bytes:
            content = read_stored_file(path)
            change(path.name)
            return content

        @contextmanager
        def open_and_change(path: Path) -> Iterator[BufferedReader]:
            with open_stored_file(path) as stream:
                yield stream
            change(path.name)

        monkeypatch.setattr("evalkit.store.runs.read_stored_file", read_and_change)
        monkeypatch.setattr("evalkit.store.trial_lines.open_stored_file", open_and_change)
        return read_run(folder)

    unfinished = {"run.json": finished["run.json"], "trials.jsonl": first}
    run = read_between(unfinished, finished, "trials.jsonl")
    assert not run.finished
    assert len(run.trials) == 1
    # Resumed: the summary is deleted, then a trial is added.
    resumed = {**unfinished, "trials.jsonl": finished["trials.jsonl"] + first}
    run = read_between(finished, resumed, "summary.json")
    assert not run.finished
    assert len(run.trials) == 2
    run = read_between(finished, finished, "summary.json")
    assert run.finished


def test_an_address_space_limit_does_not_matter(project: Project) -> None:
    write_set(project, 2)
    limit = 3 << 30

    done = project.evalkit(
        "run", "s.yaml", preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    assert (done.code, done.err) == (0, "")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write to every folder")
def test_a_baseline_in_a_read_only_folder_costs_no_call(project: Project) -> None:
    write_set(project, 2)
    (project.folder / "baselines").mkdir(mode=0o500)
    refused = project.evalkit("baseline", "s.yaml")
    assert refused.code == 3
    assert "cannot be written" in refused.err
    assert count_calls(project) == 0


def test_a_baseline_that_cannot_be_replaced_costs_no_call(project: Project) -> None:
    write_set(project, 2)
    (project.folder / "baselines" / "s.jsonl").mkdir(parents=True)
    refused = project.evalkit("baseline", "s.yaml")
    assert refused.code == 3
    assert "baselines/s.jsonl: cannot be written: Is a directory" in refused.err
    assert count_calls(project) == 0
    (project.folder / "baselines" / "s.jsonl").rmdir()
    (project.folder / "baselines").rmdir()
    project.write("baselines", "a file")
    assert project.evalkit("baseline", "s.yaml").code == 3
    assert count_calls(project) == 0


def test_an_agent_that_ends_while_it_sends_spans_leaves_no_traceback(project: Project) -> None:
    project.write(
        "agent.py",
        """
        import os, socket, urllib.parse

        place = urllib.parse.urlsplit(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
        sender = socket.create_connection((place.hostname, place.port))
        sender.sendall(
            b"POST /v1/traces HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/x-protobuf\\r\\n"
            b"Content-Length: 1000\\r\\n\\r\\nhalf of it"
        )
        sender.close()
        print("ok")
        """,
    )
    project.write(
        "s.yaml",
        "agent: {command: [python3, agent.py]}\n"
        "cases: [{id: a, input: x, expected: ok}, {id: b, input: x, expected: ok}]\n",
    )
    done = project.evalkit("run", "s.yaml")
    assert (done.code, done.err) == (0, "")
