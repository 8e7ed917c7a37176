"""Steps that arrive from anywhere, sorted to the trials they belong to, of each no more than is kept."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from evalkit.core.trial import Output
from evalkit.trace.normalizer import normalize_spans
from evalkit.trace.otlp import ReceivedSpan
from evalkit.trace.recording import SpanRecording
from evalkit.trace.warnings import EXPORTS_REFUSED, SPANS_CUT, SPANS_DROPPED, build_count_flags


class TrialTrace:
    """One trial's trace: the ids an agent is given to hang its spans below, and what has come of it."""

    def __init__(self) -> None:
        # W3C Trace Context: neither id may be all zeros, which 16 random digits never are in practice.
        self.trace_id = secrets.token_hex(16)
        self.root_id = secrets.token_hex(8)
        self.start_ns = time.time_ns()
        self.recording = SpanRecording()
        self.invalid_exports = 0
        self.arrived = asyncio.Event()

    @property
    def traceparent(self) -> str:
        """The header, or variable, of W3C Trace Context."""
        return f"00-{self.trace_id}-{self.root_id}-01"

    @property
    def is_complete(self) -> bool:
        """Whether a span right below the trial has come, and every parent of those that have.

        A span is sent once it has ended, so the outermost comes last.
        """
        told = self.recording.spans
        known = {self.root_id, *(step["id"] for step in told)}
        has_root = any(step["parent"] in ("", self.root_id) for step in told)
        return has_root and all(not step["parent"] or step["parent"] in known for step in told)

    def add_to_output(self, output: Output) -> Output:
        """The output with the steps that have come, flagged where that is not all."""
        recording = self.recording
        if not (recording.spans or recording.dropped or self.invalid_exports):
            return output
        spans = normalize_spans(recording.spans, start_ns=self.start_ns, root=self.root_id)
        flags = build_count_flags(
            {
                SPANS_DROPPED: recording.dropped,
                SPANS_CUT: recording.cut,
                EXPORTS_REFUSED: self.invalid_exports,
            }
        )
        return replace(output, spans=spans, flags=(*output.flags, *flags))


class SpanCollector:
    """The traces of the trials under way."""

    def __init__(self) -> None:
        self._open: dict[str, TrialTrace] = {}
        self.has_received = False

    @contextmanager
    def open_trace(self) -> Iterator[TrialTrace]:
        """A new trace, which takes what is sent while the trial is under way."""
        trace = TrialTrace()
        self._open[trace.trace_id] = trace
        try:
            yield trace
        finally:
            del self._open[trace.trace_id]

    def receive(self, arrived: Iterable[ReceivedSpan]) -> None:
        """Sort what has arrived; what belongs to no trial under way came too late for one.

        Raises:
            Unreadable: what can be read only as it is taken turns out to be unreadable.
        """
        for trace_id, named_trace_id, told in arrived:
            trace = self._open.get(trace_id) or self._open.get(named_trace_id)
            if trace is not None:
                self.has_received = True
                trace.recording.add(told)
                trace.arrived.set()

    def count_invalid_export(self) -> None:
        """Count a message that could not be read, with every trial that may have sent it."""
        for trace in self._open.values():
            trace.invalid_exports += 1
