"""Kill processes by session, by parent and by mark, even if they try to escape."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from evalkit.worker.environment import MARK_VARIABLE

POLL_INTERVAL_S = 0.02


async def kill_process_tree(pid: int, *, grace_s: float = 0.5) -> None:
    """Kill the process that leads session `pid`, its session and its descendants.

    They get SIGTERM, then SIGKILL when `grace_s` is over or this call is cancelled. A descendant that
    left the session with setsid is found through its parents, so call this while `pid` still lives;
    only `kill_marked_processes` finds a process that daemonized before. The caller reaps `pid`.
    """
    tree = list_process_tree(pid)
    try:
        if grace_s > 0:
            _send_signal(tree, signal.SIGTERM)
            for _ in range(round(grace_s / POLL_INTERVAL_S)):
                if not any(map(_is_alive, tree)):
                    break
                await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        # List again: a process may have forked since the first list.
        _send_signal([*list_process_tree(pid), *tree], signal.SIGKILL)


def kill_marked_processes(mark: str) -> int:
    """Kill every process whose mark is `mark` or starts with `mark/`; return how many.

    The mark is read from the environment that a process was started with, which survives forks, setsid
    and daemonizing. A process that was deliberately started with a new environment escapes.
    """
    marked = []
    for process in psutil.process_iter():
        with _ignore_gone_process():
            value = process.environ().get(MARK_VARIABLE, "")
            if value == mark or value.startswith(f"{mark}/"):
                marked.append(process)
    others = [process for process in marked if process.pid != os.getpid() and _is_alive(process)]
    _send_signal(others, signal.SIGKILL)
    return len(others)


def list_process_tree(pid: int) -> list[psutil.Process]:
    """List the live processes of the session that `pid` leads, and all their descendants.

    The list is empty when `pid` leads no session (it ended, and its id was reused), and when it leads
    this process's own session.
    """
    if pid == os.getsid(0):
        return []
    found: dict[int, psutil.Process] = {}
    for member_pid in psutil.pids():
        with _ignore_gone_process():
            if os.getsid(member_pid) == pid:
                found[member_pid] = psutil.Process(member_pid)
    for member in list(found.values()):
        with _ignore_gone_process():
            found.update((child.pid, child) for child in member.children(recursive=True))
    return list(found.values())


def count_session_processes(pid: int) -> int:
    """Count the processes in the session that `pid` leads."""
    count = 0
    for member_pid in psutil.pids():
        with _ignore_gone_process():
            count += os.getsid(member_pid) == pid
    return count


def _send_signal(processes: list[psutil.Process], signal_number: signal.Signals) -> None:
    for process in processes:
        with _ignore_gone_process():
            process.send_signal(signal_number)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def _ignore_gone_process() -> Iterator[None]:
    """Ignore the errors of a process that has ended meanwhile or that another user owns."""
    with suppress(psutil.Error, ProcessLookupError, PermissionError):
        yield
