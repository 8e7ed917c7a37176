"""The way of a worker process: read what to load, load it, serve it, end with the parent."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from evalkit.worker.call_spans import Recorder
from evalkit.worker.import_guard import redirect_search_path, refuse_checkout_modules
from evalkit.worker.object_loader import LoadFailure, load_object
from evalkit.worker.pipe import Json, Pipe, Server, Target, decode, encode
from evalkit.worker.servers import ThreadServer


class PipeReader:
    """Hands the parent's lines to the server, from a thread that no call can block."""

    def __init__(self, lines: Iterator[bytes], recorder: Recorder) -> None:
        self._lines = lines
        self._recorder = recorder
        self.server: Server | None = None

    def read(self) -> None:
        """Read until the parent ends, and end with it."""
        for line in self._lines:
            verb, _, rest = line.partition(b" ")
            if self.server is None:  # only `bye` can come before `ready` was said
                os._exit(0)
            elif verb == b"call":
                call_id, _, payload = rest.partition(b" ")
                self.server.start_call(call_id.decode("ascii"), payload)
            elif verb == b"cancel":
                self.server.cancel_call(rest.decode("ascii"))
            elif verb == b"ping":  # asked when a call is overdue
                with suppress(Exception):  # whatever the agent's own objects do when asked
                    self._recorder.send_open()
                self.server.answer_ping()
            else:
                self.server.stop()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # takes along what the target has started
        os._exit(1)


def _load(setup: Json) -> Target:
    """Load the target and fit it to its kind.

    Raises:
        LoadFailure: it cannot be loaded, or cannot be called the way its kind is.
    """
    base, root = Path(setup["base"]), Path(setup["root"])
    if setup["instead_of"]:
        redirect_search_path(root, Path(setup["instead_of"]))
    found, source_digest = load_object(setup["ref"], base, root)
    if setup["instead_of"]:
        refuse_checkout_modules(root, Path(setup["instead_of"]))
    target: Target
    if setup["kind"] == "agent":
        from evalkit.worker.agent_target import AgentTarget  # noqa: PLC0415 - only what is served is loaded

        target = AgentTarget(found)
    else:
        from evalkit.worker.metric_target import MetricTarget  # noqa: PLC0415 - msgspec and records, too

        target = MetricTarget(found, setup["args"])
    target.description["source_digest"] = source_digest
    return target


def _choose_server(target: Target, pipe: Pipe, recorder: Recorder, threads: int) -> Server:
    if not target.is_async:
        return ThreadServer(target, pipe, recorder, threads)
    from evalkit.worker.servers import TaskServer  # noqa: PLC0415 - 60 ms of asyncio

    return TaskServer(target, pipe, recorder)


def main(descriptor: int) -> None:
    """Load what the first line says and serve it; return when told to."""
    faulthandler.enable()
    # The parent decides when this process ends. Programs that the target starts do not inherit a
    # handler, as they would SIG_IGN.
    signal.signal(signal.SIGINT, lambda *_: None)
    pipe = Pipe(descriptor)
    lines = pipe.read_lines()
    setup = decode(next(lines).decode("ascii"))
    recorder = Recorder(pipe)
    reader = PipeReader(lines, recorder)
    threading.Thread(target=reader.read, daemon=True).start()
    if setup["kind"] == "agent":
        recorder.record_otel()
    try:
        target = _load(setup)
    except LoadFailure as failure:
        pipe.send("failed", "-", 0, encode({"reasons": failure.reasons, "detail": failure.detail}))
        return
    reader.server = _choose_server(target, pipe, recorder, setup["threads"])
    pipe.send("ready", "-", 0, encode(target.description))
    reader.server.serve()
