"""Run a worker process: load the target that the parent names, serve calls, end with the parent."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from evalkit.worker.call_spans import CallSpans
from evalkit.worker.import_guard import redirect_search_path, refuse_checkout_modules
from evalkit.worker.load_timer import limit_load_time
from evalkit.worker.object_loader import load_object
from evalkit.worker.pipe import Json, Pipe, decode, encode
from evalkit.worker.servers import MainThreadServer, Target, TaskServer, ThreadServer
from evalkit.worker.user_code import LoadFailure


class PipeReader:
    """Passes the parent's lines to the server, in a thread that no call can block."""

    def __init__(self, lines: Iterator[bytes], spans: CallSpans) -> None:
        self._lines = lines
        self._spans = spans
        self.server: TaskServer | MainThreadServer | None = None

    def read(self) -> None:
        """Read until the parent ends, then end this process."""
        for line in self._lines:
            verb, _, rest = line.partition(b" ")
            if self.server is None:  # only `bye` can come before `ready` was sent
                os._exit(0)
            elif verb == b"call":
                call_id, _, payload = rest.partition(b" ")
                self.server.start_call(call_id.decode("ascii"), payload)
            elif verb == b"cancel":
                self.server.cancel_call(rest.decode("ascii"))
            elif verb == b"ping":  # sent when a call is overdue
                with suppress(Exception):  # a span's values may be objects that raise
                    self._spans.send_open()
                self.server.answer_ping()
            else:
                self.server.stop()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # what the target started ends too
        os._exit(1)


def _load(setup: Json) -> Target:
    """Load the target and adapt it to its kind.

    Raises:
        LoadFailure: the target cannot be loaded, or cannot be called as its kind requires.
    """
    base, root = Path(setup["base"]), Path(setup["root"])
    if setup["replaced_checkout"]:
        redirect_search_path(root, Path(setup["replaced_checkout"]))
    found, source_digest = load_object(setup["ref"], base, root)
    if setup["replaced_checkout"]:
        refuse_checkout_modules(root, Path(setup["replaced_checkout"]))
    target: Target
    if setup["kind"] == "agent":
        from evalkit.worker.agent_target import AgentTarget  # noqa: PLC0415 - load one kind only

        target = AgentTarget(found)
    else:
        from evalkit.worker.metric_target import MetricTarget  # noqa: PLC0415 - imports msgspec

        target = MetricTarget(found, setup["args"])
    target.description["source_digest"] = source_digest
    return target


def main(descriptor: int) -> None:
    """Load the target of the first line and serve it until the parent says `bye`."""
    faulthandler.enable()
    # The parent decides when this process ends. A handler instead of SIG_IGN, because programs that
    # the target starts would inherit SIG_IGN.
    signal.signal(signal.SIGINT, lambda *_: None)
    pipe = Pipe(descriptor)
    lines = pipe.read_lines()
    setup = decode(next(lines).decode("ascii"))
    spans = CallSpans(lambda call_id, sent: pipe.send("spans", call_id, 0, encode(sent)))
    reader = PipeReader(lines, spans)
    threading.Thread(target=reader.read, daemon=True).start()
    if setup["kind"] == "agent":
        spans.record_otel()
    if setup["records_inputs"]:
        from evalkit.worker.input_log import InputPipe  # noqa: PLC0415 - with --cache only

        pipe = InputPipe(pipe, Path(setup["base"]), Path(setup["root"]))

    def send_failure(failure: LoadFailure) -> None:
        pipe.send("failed", "-", 0, encode({"reasons": failure.reasons, "detail": failure.detail}))

    try:
        with limit_load_time(setup, send_failure):
            target = _load(setup)
    except LoadFailure as failure:
        send_failure(failure)
        return
    spans.ensure_provider()  # in this thread, before the first call
    if target.is_async:
        reader.server = TaskServer(target, pipe, spans.record)
    elif setup["threads"]:
        reader.server = ThreadServer(target, pipe, spans.record, setup["threads"])
    else:
        reader.server = MainThreadServer(target, pipe, spans.record)
    pipe.send("ready", "-", 0, encode(target.description))
    reader.server.serve()
