"""The calls under way in a worker process, each with the steps that are told of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from evalkit.trace.recording import SpanRecording, current_recording
from evalkit.worker.pipe import Pipe, encode


class Recorder:
    """Opens a recording for every call, and sends it before the call is answered."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._open: dict[str, SpanRecording] = {}
        self._lock = threading.Lock()
        self._records_otel = False

    def record_otel(self) -> None:
        """Record the spans of OpenTelemetry as well, from its import on."""
        from evalkit.worker.otel import install_import_hook  # noqa: PLC0415 - agents only

        self._records_otel = True
        install_import_hook(self._find_only_recording)

    @contextmanager
    def call(self, call_id: str) -> Iterator[None]:
        """Record what is told while the call runs, in its context."""
        if self._records_otel and "opentelemetry.trace" in sys.modules:
            from evalkit.worker.otel import ensure_provider  # noqa: PLC0415 - loaded already

            ensure_provider()
        recording = self._open[call_id] = SpanRecording()
        token = current_recording.set(recording)
        try:
            yield
        finally:
            current_recording.reset(token)
            with self._lock:
                del self._open[call_id]
                self._send(call_id, recording)

    def send_open(self) -> None:
        """Send what is known of the calls under way: one of them may be about to be ended."""
        with self._lock:
            for call_id, recording in self._open.items():
                self._send(call_id, recording.snapshot())

    def _send(self, call_id: str, recording: SpanRecording) -> None:
        if recording.spans or recording.dropped:
            names = ("spans", "start_ns", "dropped", "cut")
            sent = {name: getattr(recording, name) for name in names}
            self._pipe.send("spans", call_id, 0, encode(sent))

    def _find_only_recording(self) -> SpanRecording | None:
        """The recording of the one call under way; of several nobody can tell which is meant."""
        found = list(self._open.values())
        return found[0] if len(found) == 1 else None
