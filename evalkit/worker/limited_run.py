"""Run a command on files in a temporary folder, with limits on time, memory, processes and network."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from evalkit.worker.child_command import Command, CommandResult, run_command
from evalkit.worker.environment import MARK_VARIABLE, is_withheld

LAUNCHER = Path(__file__).with_name("limited_launcher.py")
PASSED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Programs may not be found or may not start without these."""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLimits:
    """The limits of a command; `processes` includes threads where the system counts them."""

    timeout_s: float = 10.0
    memory_mb: int = 512
    processes: int = 64
    file_mb: int = 20
    network: bool = False


def resolve_program(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of the program that the first word names; `python` is evalkit's own Python."""
    if name == "python":
        return sys.executable
    return shutil.which(name, path=environ.get("PATH", os.defpath))


@cache
def find_unshare() -> tuple[str, ...]:
    """Return the prefix of a command that runs without network; empty if the system cannot do it."""
    program = shutil.which("unshare")
    # Root needs a network namespace only; other users need a user namespace around it.
    for words in ((program, "-n"), (program, "-rn")) if program else ():
        tried = [*map(str, words), "true"]
        try:
            done = subprocess.run(tried, env={}, capture_output=True, check=False, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return tuple(tried[:-1])
    return ()


def _get_slot() -> asyncio.Semaphore:
    """Return the semaphore of this event loop, which has one slot per processor."""
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = asyncio.Semaphore(os.cpu_count() or 1)
    return _slots[loop]


@asynccontextmanager
async def open_work_folder(fill: Callable[[Path], None]) -> AsyncIterator[Path]:
    """Create and fill a folder for one answer, next to an empty home folder; `fill` may block."""
    async with _get_slot():
        top = await asyncio.to_thread(_make_folder, fill)
        try:
            yield top / "work"
        finally:
            await asyncio.to_thread(shutil.rmtree, top, ignore_errors=True)


def _make_folder(fill: Callable[[Path], None]) -> Path:
    top = Path(tempfile.mkdtemp(prefix="evalkit-"))
    try:
        (top / "work").mkdir()
        (top / "home").mkdir()
        fill(top / "work")
    except BaseException:
        shutil.rmtree(top, ignore_errors=True)
        raise
    return top


async def run_limited(
    words: Sequence[str],
    folder: Path,
    limits: CommandLimits,
    environ: Mapping[str, str],
    env: Sequence[str] = (),
) -> CommandResult:
    """Run a command in a folder from `open_work_folder`, and kill everything it started.

    The command gets PATH and the variables named in `env`.

    Raises:
        OSError: the command could not be started.
    """
    home = str(folder.parent / "home")
    names = (*PASSED_VARIABLES, *(name for name in env if not is_withheld(name)))
    passed = {name: environ[name] for name in names if name in environ}
    program = resolve_program(words[0], environ) or words[0]
    argv = (
        *(() if limits.network else await asyncio.to_thread(find_unshare)),
        *(sys.executable, "-I", "-S", str(LAUNCHER)),
        # One second more than the deadline: the CPU limit only applies if nothing else ends the command.
        *(f"cpu_s={int(limits.timeout_s) + 1}", f"memory_mb={limits.memory_mb}"),
        *(f"processes={limits.processes}", f"file_mb={limits.file_mb}"),
        *("--", program, *words[1:]),
    )
    command = Command(
        program=argv[0],
        argv=tuple(os.fsencode(word) for word in argv),
        folder=folder,
        environ={
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            **passed,
            MARK_VARIABLE: f"{uuid.uuid4().hex}/metric",
        },
    )
    return await run_command(
        command, None, timeout_s=limits.timeout_s, max_processes=limits.processes
    )
