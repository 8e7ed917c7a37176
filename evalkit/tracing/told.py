"""The steps of a call, as a worker process sends them, put into the call's output."""

from __future__ import annotations

from dataclasses import replace

from evalkit.records import Json, Output
from evalkit.tracing.notes import CUT, DROPPED, count_flags
from evalkit.tracing.reading import read_spans


def put_told(output: Output, told: Json) -> Output:
    """The output with the steps that a worker process sent."""
    if not told:
        return output
    flags = count_flags({DROPPED: told["dropped"], CUT: told["cut"]})
    spans = read_spans(told["told"], start_ns=told["start_ns"])
    return replace(output, spans=spans, flags=(*output.flags, *flags))
