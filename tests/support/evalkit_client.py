"""Run evalkit as a process of its own without paying for its imports each time.

The process is forked from one that has imported evalkit and run nothing. Its arguments, folder,
environment, streams, and exit code are those of `python -m evalkit`.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

READ_AT_START = re.compile(r"^(PYTHON|LC_|LANG|TZ$|LD_|DYLD_|MALLOC_|OPENBLAS_|OMP_)")
"""Environment variables that Python or a library reads when it starts."""


class EvalkitServer:
    """The process that forks, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._environ: dict[str, str] = {}

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout_s: float,
        preexec: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run evalkit to its end as `subprocess.run` does, which this calls where it has to."""
        if preexec is None and self._lock.acquire(blocking=False):
            try:
                channel = self._connect()
                if self._environ == choose_read_at_start(env):
                    return run_forked(channel, arguments, cwd, env, timeout_s)
            finally:
                self._lock.release()
        return subprocess.run(
            [sys.executable, "-m", "evalkit", *arguments],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            preexec_fn=preexec,
        )

    def _connect(self) -> socket.socket:
        if self._channel is not None and self._process is not None:
            if self._process.poll() is None:
                return self._channel
            self.close()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._environ = choose_read_at_start(os.environ)
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    Path(__file__).with_name("evalkit_server.py"),
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        return self._channel

    def close(self) -> None:
        """End the process that forks; those that it forked have ended."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.wait(timeout=30)


SERVER = EvalkitServer()


def choose_read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a forked process cannot be given."""
    return {name: value for name, value in env.items() if READ_AT_START.match(name)}


def run_forked(
    channel: socket.socket,
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
) -> subprocess.CompletedProcess[bytes]:
    """Send a command line, and return what its process wrote and its exit code."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    with Path(os.devnull).open("rb") as nothing, os.fdopen(out) as outs, os.fdopen(err) as errs:
        socket.send_fds(channel, [b"."], [nothing.fileno(), out_end, err_end])
        os.close(out_end)
        os.close(err_end)
        request = {"arguments": [*arguments], "cwd": str(cwd), "env": {**env}}
        channel.sendall(json.dumps(request).encode() + b"\n")
        replies = channel.makefile("rb")
        pid = int(replies.readline())
        found: dict[int, bytes] = {out: b"", err: b""}
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            for stream in (outs, errs):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(max(0, deadline - time.monotonic())):
                    piece = os.read(key.fd, 65536)
                    found[key.fd] += piece
                    if not piece:
                        selector.unregister(key.fileobj)
                if time.monotonic() > deadline:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    replies.readline()
                    raise subprocess.TimeoutExpired([*arguments], timeout_s, found[out], found[err])
    with replies:
        return subprocess.CompletedProcess(
            [*arguments], int(replies.readline()), found[out], found[err]
        )
