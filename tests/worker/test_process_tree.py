"""Process trees that try to get away."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from evalkit.worker.environment import MARK_VARIABLE
from evalkit.worker.process_tree import kill_marked_processes, kill_process_tree, list_process_tree

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark of this test's own; whatever bears it is ended."""
    value = uuid.uuid4().hex
    yield value
    kill_marked_processes(value)


@pytest.fixture
def start(mark: str, tmp_path: Path) -> Iterator[Start]:
    """Start a program in a session of its own; it says "ready" in a file when it is."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> subprocess.Popen[bytes]:
        ready = tmp_path / f"ready.{len(started)}"
        source = (
            "import os, pathlib, signal, subprocess, sys, time\n"
            f"SLEEP = {SLEEP!r}\n{program}\n"
            f"pathlib.Path({str(ready)!r}).touch()\n"
            "time.sleep(60)"
        )
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", source],
            start_new_session=True,
            cwd=tmp_path,
            env={**os.environ, MARK_VARIABLE: f"{mark}/1"},
        )
        started.append(process)
        assert wait_until(ready.exists)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_until(is_so: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int, grace_s: float = 0.3) -> None:
    asyncio.run(kill_process_tree(pid, grace_s=grace_s))


def test_a_process_that_ends_on_sigterm_is_not_killed_harder(start: Start, tmp_path: Path) -> None:
    leader = start(
        "def leave(*_):\n"
        "    pathlib.Path('cleaned').touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)"
    )
    kill(leader.pid, grace_s=10)
    assert leader.wait(1) == 0
    assert (tmp_path / "cleaned").exists()


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(start: Start) -> None:
    leader = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    started = time.monotonic()
    kill(leader.pid)
    assert leader.wait(1) == -9
    assert 0.3 <= time.monotonic() - started < 2


def test_descendants_die_too_in_whatever_session_they_are(start: Start) -> None:
    leader = start("subprocess.Popen(SLEEP)\nsubprocess.Popen(SLEEP, start_new_session=True)")
    tree = list_process_tree(leader.pid)
    assert len(tree) == 3
    kill(leader.pid)
    leader.wait(1)
    assert wait_until(lambda: not any(is_running(process.pid) for process in tree), 2)


def test_members_of_a_session_die_when_its_leader_is_gone(start: Start) -> None:
    leader = start("subprocess.Popen(SLEEP)")
    [child] = [process for process in list_process_tree(leader.pid) if process.pid != leader.pid]
    leader.kill()
    leader.wait()
    kill(leader.pid)
    assert wait_until(lambda: not is_running(child.pid), 2)


def test_a_kill_that_is_cancelled_kills_at_once(start: Start) -> None:
    leader = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")

    async def cancel() -> None:
        killing = asyncio.create_task(kill_process_tree(leader.pid, grace_s=30))
        await asyncio.sleep(0.1)
        killing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killing

    asyncio.run(cancel())
    assert leader.wait(1) == -9


def test_a_daemon_is_found_by_its_mark(start: Start, mark: str) -> None:
    leader = start(
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    subprocess.Popen(SLEEP, start_new_session=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    assert len(list_process_tree(leader.pid)) == 1
    assert kill_marked_processes(mark) == 2
    assert wait_until(lambda: kill_marked_processes(mark) == 0, 2)


def test_a_mark_is_not_that_of_one_with_the_same_beginning(start: Start, mark: str) -> None:
    leader = start("")
    assert kill_marked_processes(mark[:-1]) == 0
    assert leader.poll() is None


@pytest.mark.parametrize("pid", [os.getsid(0), 2**22 + 1], ids=["our own session", "nobody"])
def test_nothing_is_found_under_what_is_no_session_of_a_child(pid: int) -> None:
    assert list_process_tree(pid) == []
