"""A command and the files it is about, run in a folder of their own that is gone afterwards."""

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
from evalkit.worker.process_tree import MARK_VARIABLE

LAUNCHER = Path(__file__).with_name("limited_launcher.py")
PASSED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Without which programs may not be found, or not start."""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLimits:
    """What a command may take; `processes` counts threads too where the system limits them."""

    timeout_s: float = 10.0
    memory_mb: int = 512
    processes: int = 64
    file_mb: int = 20
    network: bool = False


def resolve_program(name: str, environ: Mapping[str, str]) -> str | None:
    """The program a command's first word names; `python` is the one evalkit runs in."""
    if name == "python":
        return sys.executable
    return shutil.which(name, path=environ.get("PATH", os.defpath))


@cache
def find_unshare() -> tuple[str, ...]:
    """The words that start a command without network; none where the system does not allow it."""
    program = shutil.which("unshare")
    # As root a namespace of the network is enough, else one of users has to be around it.
    for words in ((program, "-n"), (program, "-rn")) if program else ():
        tried = [*map(str, words), "true"]
        try:
            done = subprocess.run(tried, capture_output=True, check=False, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return tuple(tried[:-1])
    return ()


def _get_slot() -> asyncio.Semaphore:
    """One place for each processor, shared by all that runs on this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = asyncio.Semaphore(os.cpu_count() or 1)
    return _slots[loop]


@asynccontextmanager
async def open_work_folder(fill: Callable[[Path], None]) -> AsyncIterator[Path]:
    """A folder made and filled for one answer, with room for a home beside it; `fill` may block."""
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
    """Run a command in a folder that `open_folder` made; what it started is dead afterwards.

    Of the environment it gets PATH and the variables named in `env`.

    Raises:
        OSError: it could not be started.
    """
    home = str(folder.parent / "home")
    kept = {name: environ[name] for name in (*PASSED_VARIABLES, *env) if name in environ}
    program = resolve_program(words[0], environ) or words[0]
    given = {
        "cpu_s": int(limits.timeout_s) + 1,
        "memory_mb": limits.memory_mb,
        "processes": limits.processes,
        "file_mb": limits.file_mb,
    }
    argv = (
        *(() if limits.network else await asyncio.to_thread(find_unshare)),
        *(sys.executable, "-I", "-S", str(LAUNCHER)),
        *(f"{name}={value}" for name, value in given.items()),
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
            **kept,
            MARK_VARIABLE: f"{uuid.uuid4().hex}/metric",
        },
    )
    return await run_command(
        command, None, timeout_s=limits.timeout_s, most_processes=limits.processes
    )
