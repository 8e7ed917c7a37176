"""Steps that Python code tells of itself, collected for the call that is under way.

Runs in the agent's process, so it imports next to nothing; what comes in is bounded here, before it
is sent anywhere, and given evalkit's own names by whoever reads it.
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
"""One step as it was told: `id`, `parent`, `name`, `start_ns`, `end_ns`, `error` (a message, or None
where all went well), `error_type` and `attributes`, under the names of whoever tells."""

SPAN_KINDS = ("agent", "model", "tool", "retrieval", "step")
UNFINISHED = "not finished when the time was up"
_MAX_DEPTH = 12


class SpanRecording:
    """The steps of one call, of which no more is kept than the caps allow.

    `told` are those that have ended; `open` gives those under way, by id, as they stand when asked.
    `start_ns` is when the call began. `dropped` counts steps that found no room, `cut` values that were cut to fit.
    """

    def __init__(self) -> None:
        self.spans: list[SpanPayload] = []
        self.open_spans: dict[str, Callable[[], SpanPayload]] = {}
        self.start_ns = time.time_ns()
        self.dropped = 0
        self.cut = 0
        self._chars_left = MAX_TRACE_CHARS

    def add(self, told: SpanPayload) -> None:
        """Keep a step, if there is room for it."""
        if len(self.spans) >= MAX_SPANS or self._chars_left <= 0:
            self.dropped += 1
            return
        given = told["attributes"]
        self.cut += max(len(given) - MAX_ATTRIBUTES, 0)
        kept = itertools.islice(given.items(), MAX_ATTRIBUTES)
        told["attributes"] = {
            self._truncate(str(name)): self._truncate(value) for name, value in kept
        }
        told["name"] = self._truncate(str(told["name"]))
        if told["error"] is not None:
            told["error"] = self._truncate(str(told["error"]))
        self.spans.append(told)

    def end(self, step_id: str) -> None:
        """Keep a step that was under way, as it stands now."""
        as_it_stands = self.open_spans.pop(step_id, None)
        if as_it_stands is not None:
            self.add(as_it_stands())

    def snapshot(self) -> SpanRecording:
        """All there is, for a call that is about to be ended: what is under way ends here."""
        copy = SpanRecording()
        copy.spans, copy.start_ns = list(self.spans), self.start_ns
        copy.dropped, copy.cut = self.dropped, self.cut
        for as_it_stands in list(self.open_spans.values()):
            copy.add({**as_it_stands(), "error": UNFINISHED, "error_type": "Timeout"})
        return copy

    def _truncate(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON that is not too long; anything else is told by its text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {
                str(self._truncate(str(key))): self._truncate(item, depth + 1)
                for key, item in itertools.islice(value.items(), MAX_SPANS)
            }
        if depth < _MAX_DEPTH and isinstance(value, list | tuple):
            return [self._truncate(item, depth + 1) for item in value[:MAX_SPANS]]
        text = value if isinstance(value, str) else _to_text(value)
        room = max(min(MAX_ATTRIBUTE_CHARS, self._chars_left), 0)
        if len(text) > room:
            self.cut += 1
            text = f"{text[:room]} [... {len(text):,} characters in all]"
        self._chars_left -= len(text)
        return text


def _to_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # whatever the agent's own object does
        return f"(an object of type {type(value).__name__!r})"


class ActiveSpan:
    """A step under way; what is known of it is set as it becomes known.

    The names are those of `evalkit.spans.Span`: arguments, result, model, prompt, temperature,
    input_tokens, output_tokens, cost_usd, user_id, session_id, error, error_type; anything else is
    kept under its own name.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.attributes = dict(known)

    def set(self, **known: Any) -> None:
        """Tell more of the step."""
        self.attributes.update(known)


current_recording: ContextVar[SpanRecording | None] = ContextVar("evalkit_recording", default=None)
"""The recording of the call that this code runs in; None where nobody listens."""

_parent_id: ContextVar[str] = ContextVar("evalkit_step", default="")
_ids = itertools.count(1)


@contextmanager
def span(kind: str, name: str = "", **known: Any) -> Iterator[ActiveSpan]:
    """Tell of one step of a Python agent: a call of a tool or of a model, or anything with a name.

        with evalkit.span("tool", "search", arguments={"query": query}) as step:
            step.set(result=search(query))

    `kind` is agent, model, tool, retrieval or step. An exception that passes through is the step's
    error. Outside of a run of evalkit nothing is recorded.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in SPAN_KINDS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(SPAN_KINDS)}")
    step = ActiveSpan(known)
    recording = current_recording.get()
    if recording is None:
        yield step
        return
    span_id = f"step-{next(_ids)}"
    told: SpanPayload = {
        "id": span_id,
        "parent": _parent_id.get(),
        "name": name or kind,
        "start_ns": time.time_ns(),
        "end_ns": 0,
        "error": None,
        "error_type": "",
        "attributes": {},
    }
    recording.open_spans[span_id] = lambda: _build_payload(told, kind, step)
    token = _parent_id.set(span_id)
    try:
        yield step
    except BaseException as error:
        told["error"], told["error_type"] = _to_text(error), type(error).__name__
        raise
    finally:
        _parent_id.reset(token)
        recording.end(span_id)


def _build_payload(told: SpanPayload, kind: str, step: ActiveSpan) -> SpanPayload:
    known = dict(step.attributes)
    error, error_type = known.pop("error", None), known.pop("error_type", "")
    outcome = {"error": told["error"], "error_type": told["error_type"]}
    if told["error"] is None and (error is not None or error_type):
        outcome = {"error": str(error or error_type), "error_type": str(error_type)}
    known = {"kind": kind, **({"tool": told["name"]} if kind == "tool" else {}), **known}
    attributes = {f"evalkit.{name}": value for name, value in known.items()}
    return {**told, **outcome, "attributes": attributes, "end_ns": time.time_ns()}
