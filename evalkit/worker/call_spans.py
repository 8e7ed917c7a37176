"""Record the spans of the calls in flight in a worker process, and send them to the parent."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evalkit.trace.recording import SpanRecording, current_recording


class CallSpans:
    """Opens a recording for every call, and sends it before the result of the call."""

    def __init__(self, send: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._send_spans = send
        self._open: dict[str, SpanRecording] = {}
        self._lock = threading.Lock()
        self._records_otel = False

    def record_otel(self) -> None:
        """Record the spans of OpenTelemetry as well, from the moment it is imported."""
        from evalkit.worker.otel import install_import_hook  # noqa: PLC0415 - agents only

        self._records_otel = True
        install_import_hook(self._find_only_recording)

    def ensure_provider(self) -> None:
        """Set a tracer provider if the agent has imported OpenTelemetry and set none."""
        if self._records_otel and "opentelemetry.trace" in sys.modules:
            from evalkit.worker.otel import ensure_provider  # noqa: PLC0415 - loaded already

            ensure_provider()

    @contextmanager
    def record(self, call_id: str) -> Iterator[None]:
        """Record the spans of one call while this context is open."""
        self.ensure_provider()
        recording = self._open[call_id] = SpanRecording()
        token = current_recording.set(recording)
        try:
            yield
        finally:
            current_recording.reset(token)
            # The lock prevents `send_open` from sending this call again after its last spans.
            with self._lock:
                del self._open[call_id]
                self._send(call_id, recording)

    def send_open(self) -> None:
        """Send the spans of the calls in flight, because one of them may be killed next."""
        with self._lock:
            for call_id, recording in self._open.items():
                self._send(call_id, recording.snapshot())

    def _send(self, call_id: str, recording: SpanRecording) -> None:
        if recording.spans or recording.dropped:
            names = ("spans", "start_ns", "dropped", "cut")
            self._send_spans(call_id, {name: getattr(recording, name) for name in names})

    def _find_only_recording(self) -> SpanRecording | None:
        """Return the recording of the only call in flight; with several, the call is unknown."""
        found = list(self._open.values())
        return found[0] if len(found) == 1 else None
