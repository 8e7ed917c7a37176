"""Start the interpreter of a worker process with its end of the pipe."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from evalkit.core.literals import Json
from evalkit.worker.environment import MARK_VARIABLE

L = TypeVar("L", bound=asyncio.Protocol)
E = TypeVar("E", bound=asyncio.SubprocessProtocol)

IMPORT_FOLDER = str(Path(__file__).parents[2])
"""The folder that contains the package evalkit."""

PROGRAM = """\
import sys
sys.path.insert(0, {package!r})
import evalkit
del sys.path[0]
from evalkit.worker.main import main
main({descriptor})
"""
"""Import this installation of evalkit, however this process found it, and restore the search path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How a worker process is started: `setup` is what it loads, `mark` identifies this process only."""

    setup: Mapping[str, Json]
    folder: Path
    environ: Mapping[str, str]
    mark: str


class WorkerStartError(Exception):
    """The process could not be started or could not load its target; has every reason and a traceback."""

    def __init__(self, *reasons: str, detail: str = "") -> None:
        super().__init__(*reasons)
        self.reasons = reasons
        self.detail = detail


async def start_interpreter(
    launch: Launch, make_pipe_protocol: Callable[[], L], make_exit_protocol: Callable[[], E]
) -> tuple[tuple[asyncio.Transport, L], tuple[asyncio.SubprocessTransport, E]]:
    """Start an interpreter in a session of its own, and send it what to load.

    Return the pipe and the process, each with the protocol that receives what it sends.

    Raises:
        OSError: no process or no pipe can be created.
    """
    loop = asyncio.get_running_loop()
    parent_end, child_end = socket.socketpair()
    with child_end:
        pipe = await loop.create_connection(make_pipe_protocol, sock=parent_end)
        try:
            process = await loop.subprocess_exec(
                make_exit_protocol,
                sys.executable,
                "-P",  # files in the working folder must not shadow evalkit's own imports
                "-c",
                PROGRAM.format(package=IMPORT_FOLDER, descriptor=child_end.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(child_end.fileno(),),
                cwd=launch.folder,
                env={**launch.environ, MARK_VARIABLE: launch.mark},
                start_new_session=True,  # the session is killed as a whole
            )
        except BaseException:
            pipe[0].close()
            raise
    pipe[0].write(json.dumps(launch.setup).encode("ascii") + b"\n")
    return pipe, process
