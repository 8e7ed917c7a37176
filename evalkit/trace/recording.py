"""Record the spans of the call that is running, and `evalkit.span`, with which Python agents add one.

This module runs in the agent's process, so it imports almost nothing. It limits the size of spans before
they are sent; `trace/normalizer.py` turns the attributes into the fields of `Span` after that.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from evalkit.core.limits import MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, MAX_SPANS, MAX_TRACE_CHARS

SpanPayload: TypeAlias = dict[str, Any]
"""One span as it was sent: `id`, `parent`, `name`, `start_ns`, `end_ns`, `error` (a message; None if
the step succeeded), `error_type`, and `attributes` under the names of the sender's library. `scope` is
the name of the instrumentation, if it is known."""

SPAN_KINDS = ("agent", "model", "tool", "retrieval", "step")
UNFINISHED = "not finished at the timeout"
_MAX_DEPTH = 12


class SpanRecording:
    """The spans of one call, within the limits of `core/limits.py`.

    `spans` have ended. `open_spans` has a function by id for each span that is running, which returns
    its present payload. `start_ns` is when the call began. `dropped` counts the spans beyond the limit, and
    `cut` the values that were shortened.
    """

    def __init__(self) -> None:
        self.spans: list[SpanPayload] = []
        self.open_spans: dict[str, Callable[[], SpanPayload]] = {}
        self.start_ns = time.time_ns()
        self.dropped = 0
        self.cut = 0
        self._chars_left = MAX_TRACE_CHARS

    def add(self, payload: SpanPayload) -> None:
        """Add a span that has ended, or count it as dropped when the limit is reached."""
        # A limit on the number alone would not do: long texts fill the agent's memory as well.
        if len(self.spans) >= MAX_SPANS or self._chars_left <= 0:
            self.dropped += 1
            return
        given = payload["attributes"]
        self.cut += max(len(given) - MAX_ATTRIBUTES, 0)
        payload["attributes"] = {
            self._truncate(str(name)): self._truncate(value)
            for name, value in itertools.islice(given.items(), MAX_ATTRIBUTES)
        }
        payload["name"] = self._truncate(str(payload["name"]))
        if payload["error"] is not None:
            payload["error"] = self._truncate(str(payload["error"]))
        self.spans.append(payload)

    def end(self, span_id: str) -> None:
        """Add a span that was running, with its present payload."""
        get_payload = self.open_spans.pop(span_id, None)
        if get_payload is not None:
            self.add(get_payload())

    def snapshot(self) -> SpanRecording:
        """Return a copy in which the running spans have ended with a timeout, for a call that is to be killed."""
        copy = SpanRecording()
        copy.spans, copy.start_ns = list(self.spans), self.start_ns
        copy.dropped, copy.cut = self.dropped, self.cut
        # A copy of the values: meanwhile the agent's threads start and end spans.
        for get_payload in list(self.open_spans.values()):
            copy.add({**get_payload(), "error": UNFINISHED, "error_type": "Timeout"})
        return copy

    def _truncate(self, value: Any, depth: int = 0) -> Any:
        """Return a value as JSON of limited size; an object of any other type becomes its text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)  # infinity and NaN are no JSON
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {
                str(self._truncate(str(key))): self._truncate(item, depth + 1)
                for key, item in itertools.islice(value.items(), MAX_SPANS)
            }
        if depth < _MAX_DEPTH and isinstance(value, list | tuple):
            return [self._truncate(item, depth + 1) for item in value[:MAX_SPANS]]
        text = value if isinstance(value, str) else _to_text(value)
        limit = max(min(MAX_ATTRIBUTE_CHARS, self._chars_left), 0)
        if len(text) > limit:
            self.cut += 1
            text = f"{text[:limit]} [... {len(text):,} characters in all]"
        self._chars_left -= len(text)
        return text


def _to_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # __str__ is the agent's code and may raise anything
        return f"(an object of type {type(value).__name__!r})"


class ActiveSpan:
    """A span that is running; set its fields as they become known.

    The fields are those of `evalkit.core.spans.Span`: arguments, result, model, prompt, temperature,
    input_tokens, output_tokens, cost_usd, user_id, session_id, error, error_type. Any other name becomes
    an attribute.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.attributes = dict(known)

    def set(self, **known: Any) -> None:
        """Set fields or attributes of the span."""
        self.attributes.update(known)


current_recording: ContextVar[SpanRecording | None] = ContextVar("evalkit_recording", default=None)
"""The recording of the call that this code runs in; None outside of a run."""

_parent_id: ContextVar[str] = ContextVar("evalkit_step", default="")
_ids = itertools.count(1)


@contextmanager
def span(kind: str, name: str = "", **known: Any) -> Iterator[ActiveSpan]:
    """Record one step of a Python agent: a call of a tool or a model, or any step with a name.

        with evalkit.span("tool", "search", arguments={"query": query}) as step:
            step.set(result=search(query))

    `kind` is agent, model, tool, retrieval or step. An exception that leaves the block becomes the
    span's error and is raised on. Outside of a run of evalkit nothing is recorded.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in SPAN_KINDS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(SPAN_KINDS)}")
    step = ActiveSpan(known)
    recording = current_recording.get()
    if recording is None:
        yield step
        return
    span_id = f"step-{next(_ids)}"
    payload: SpanPayload = {
        "id": span_id,
        "parent": _parent_id.get(),
        "name": name or kind,
        "start_ns": time.time_ns(),
        "error": None,
        "error_type": "",
    }
    recording.open_spans[span_id] = lambda: _complete_payload(payload, kind, step)
    token = _parent_id.set(span_id)
    try:
        yield step
    except BaseException as error:
        payload["error"], payload["error_type"] = _to_text(error), type(error).__name__
        raise
    finally:
        _parent_id.reset(token)
        recording.end(span_id)


def _complete_payload(payload: SpanPayload, kind: str, step: ActiveSpan) -> SpanPayload:
    """Return the payload as of now; an exception takes precedence over an error that was set."""
    known = dict(step.attributes)
    error, error_type = known.pop("error", None), known.pop("error_type", "")
    outcome = {}
    if payload["error"] is None and (error is not None or error_type):
        outcome = {"error": str(error or error_type), "error_type": str(error_type)}
    known = {"kind": kind, **({"tool": payload["name"]} if kind == "tool" else {}), **known}
    attributes = {f"evalkit.{name}": value for name, value in known.items()}
    return {**payload, **outcome, "attributes": attributes, "end_ns": time.time_ns()}
