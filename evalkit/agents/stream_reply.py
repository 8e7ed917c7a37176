"""Turn the events of a streamed reply into what an agent returns, and find out when its text began."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.agents.completion import BadCompletion, parse_usage
from evalkit.agents.error_text import is_transient_error, say_json_error
from evalkit.agents.json_fields import as_object, as_text, iter_objects
from evalkit.agents.model_replies import read_model_reply
from evalkit.agents.placeholders import get_at_path
from evalkit.agents.server_events import ServerEvent
from evalkit.agents.stream_fields import BadStream, StreamFields, find_fields
from evalkit.agents.stream_formats import FORMATS, StreamFormat, find_format, read_object
from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import has_visible_text, one_line
from evalkit.core.trial import AgentError

StreamArgument: TypeAlias = str | StreamFields | None
"""The name of a format, the fields of another one, or None to find the format from the events."""

OWN_PATHS = {name: name for name in ("output", "tool_calls", "usage", "cost_usd", "finish_reason")}
"""Where an event has the parts of a reply by default, if the stream has no known format."""

_NO_END_ADVICE = (
    ". If this server never says so, name the field with the text, as in: "
    "stream: {delta: choices.0.delta.content}"
)
SHOWN_ERROR_CHARS = 300
SHOWN_EVENT_CHARS = 160


class StreamFailed(Exception):
    """The server sent an error in place of the rest of its answer."""

    def __init__(self, said: str, is_transient: bool) -> None:
        super().__init__(said)
        self.said = said
        self.is_transient = is_transient

    def to_error(self, server: str) -> AgentError:
        """Return the error of the agent."""
        message = f"{server} sent an error in its stream{f': {self.said}' if self.said else '.'}"
        return AgentError(kind="stream_error", message=message, retryable=self.is_transient)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedReply:
    """A reply in the form that agents return. `first_token_s` is None if it has no text."""

    reply: Mapping[str, Json]
    first_token_s: float | None


def ends_stream(event: ServerEvent, stream: StreamArgument) -> bool:
    """Return whether nothing of interest follows an event."""
    if isinstance(stream, StreamFields) and stream.end is not None:
        return stream.is_end(event)
    found = read_object(event.name, event.value)
    is_last = event.is_done or any(each.is_last(found) for each in FORMATS.values())
    return is_last or _find_failure(event) is not None


def find_first_token_s(events: Sequence[ServerEvent]) -> float | None:
    """Return the seconds until the text of a streamed chat completion began; None if it has no text."""
    return _find_start(_iter_known_pieces(events, FORMATS["openai"]))


def read_stream(
    events: Sequence[ServerEvent], stream: StreamArgument, paths: Mapping[str, str]
) -> StreamedReply:
    """Return the answer of a stream. `paths` say where the parts of a reply are in an event.

    An answer at `paths["output"]` in exactly one event is the whole answer, in place of the pieces.

    Raises:
        BadStream: the text is not found or not certain, or the stream was cut.
        StreamFailed: an event is an error.
    """
    _raise_error(events)
    if not (isinstance(stream, StreamFields) and stream.is_whole_event):
        _check_last(events)
    events = [event for event in events if event.data.strip() or event.name]
    if all(event.is_done for event in events):
        raise BadStream("without an event")
    known = _choose_format(events, stream)
    parts = _find_parts(events, known, paths)
    wholes = parts.pop("output", [])
    whole = wholes[0] if len(wholes) == 1 else None
    if len(wholes) > 1 and known is None and stream is None:
        path = paths.get("output", "output")
        raise BadStream(
            f"with {len(wholes):,} values at {path!r}. If each is a piece of the answer, write: "
            f"stream: {{delta: {path}}}"
        )
    if known is not None:
        pieces = list(_iter_known_pieces(events, known))
        reply = _join_known(events, known)
    else:
        pieces = _read_pieces(events, stream, whole)
        texts = [piece for _, piece in pieces]
        is_snapshot = isinstance(stream, StreamFields) and stream.snapshot is not None
        reply = {"output": texts[-1] if is_snapshot and texts else "".join(texts)}
    if whole is not None:
        event, answer = whole
        reply |= split_answer(answer)
        pieces.append((event, reply["output"]))
    reply |= {name: values[-1][1] for name, values in parts.items() if values}
    return StreamedReply(reply=reply, first_token_s=_find_start(pieces))


def split_answer(answer: Json) -> dict[str, Json]:
    """Return an answer as the text and the data of a reply; text is no data."""
    if isinstance(answer, str):
        return {"output": answer}
    return {"output": json.dumps(answer), "data": answer}


def describe_stream(media_type: str, count: int, first: Sequence[ServerEvent]) -> str:
    """Return the content type of a stream, its number of events, and one of the first, for a message."""
    shown = next((event.data for event in first if event.data.strip()), "")
    example = f", the first {one_line(shown, SHOWN_EVENT_CHARS)}" if shown else ""
    return f"{media_type or 'a stream'} ({format_count(count, 'event')}{example})"


Pieces: TypeAlias = list[tuple[ServerEvent, str]]


def _choose_format(events: Sequence[ServerEvent], stream: StreamArgument) -> StreamFormat | None:
    if isinstance(stream, StreamFields):
        return None
    objects = [read_object(event.name, event.value) for event in events]
    if stream is None:
        return find_format(objects)
    if not any(map(FORMATS[stream].matches, objects)):
        raise BadStream(f"without an event of the format {stream!r}")
    return FORMATS[stream]


def _find_parts(
    events: Sequence[ServerEvent], known: StreamFormat | None, paths: Mapping[str, str]
) -> dict[str, list[tuple[ServerEvent, Json]]]:
    """Return the events with a value at each path, and the values."""
    defaults = {} if known or "output" in paths else OWN_PATHS
    return {
        name: [
            (event, value)
            for event, value in _iter_values(events, path)
            if name in paths or _is_plausible(name, value)
        ]
        for name, path in {**defaults, **paths}.items()
    }


def _iter_values(events: Sequence[ServerEvent], path: str) -> Iterator[tuple[ServerEvent, Json]]:
    for event in events:
        try:
            value = get_at_path(as_object(event.value), path)
        except LookupError:
            continue
        if value is not None:
            yield event, value


def _is_plausible(name: str, value: Json) -> bool:
    """Return whether a value at a default path is the part of a reply with that name."""
    if name == "usage":
        return isinstance(value, Mapping) and bool(parse_usage(value))
    return isinstance(value, {"tool_calls": list, "cost_usd": int | float}.get(name, str))


def _iter_known_pieces(
    events: Sequence[ServerEvent], known: StreamFormat
) -> Iterator[tuple[ServerEvent, str]]:
    for event in events:
        yield event, known.read_piece(read_object(event.name, event.value))


def _join_known(events: Sequence[ServerEvent], known: StreamFormat) -> dict[str, Json]:
    _check_end(events, known, _NO_END_ADVICE)
    objects = [read_object(event.name, event.value) for event in events]
    joined = known.join([found for found in objects if found])
    try:
        return {**(read_model_reply(joined) or joined)}
    except BadCompletion as bad:
        raise BadStream(f"with {bad}") from None


def _check_last(events: Sequence[ServerEvent]) -> None:
    """Raise BadStream if the last event is the beginning of a JSON object."""
    last = events[-1] if events else None
    if last is not None and last.value is last.data and last.data.lstrip().startswith("{"):
        raise BadStream("that breaks off in the middle of an event")


def _check_end(events: Sequence[ServerEvent], known: StreamFormat, advice: str = "") -> None:
    if not any(
        event.is_done or known.ends(read_object(event.name, event.value)) for event in events
    ):
        raise BadStream(f"that breaks off: no event says that the answer is complete{advice}")


def _read_pieces(
    events: Sequence[ServerEvent],
    stream: StreamArgument,
    whole: tuple[ServerEvent, Json] | None,
) -> Pieces:
    """Return the pieces at the fields that the eval set names, or else at those found."""
    if isinstance(stream, StreamFields):
        if stream.end is not None and not any(map(stream.is_end, events)):
            raise BadStream(
                f"that breaks off: no event is its end, {stream.end!r}. If this server never sends it, "
                "remove 'end'"
            )
        pieces = list(stream.iter_pieces(events))
        if not pieces and whole is None:
            path = stream.snapshot if stream.delta is None else stream.delta
            raise BadStream(f"without a text at {path!r}. Correct 'stream'")
        return pieces
    if whole is not None:
        return []
    texts = [event for event in events if not event.is_done and event.data.strip()]
    return list(find_fields(texts).iter_pieces(texts))


def _find_start(pieces: Iterator[tuple[ServerEvent, str]] | Pieces) -> float | None:
    return next((event.received_s for event, piece in pieces if has_visible_text(piece)), None)


def _raise_error(events: Sequence[ServerEvent]) -> None:
    failures = map(_find_failure, events)
    failure = next((each for each in failures if each is not None), None)
    if failure is not None:
        raise failure


def _find_failure(event: ServerEvent) -> StreamFailed | None:
    value = read_object(event.name, event.value)
    kind = as_text(value.get("type"))
    is_error = "error" in (event.name, kind) or kind == "RUN_ERROR"
    # Events of another type may report the error of a tool, which the agent has handled.
    places = [*([] if kind and not is_error else [value]), as_object(value.get("response"))]
    places += iter_objects(value.get("choices"))
    failed = next((place for place in places if place.get("error")), None)
    if failed is None and not is_error:
        return None
    found = failed or value
    said = as_text(value.get("errorText")) or (say_json_error(found) if found else event.data)
    return StreamFailed(one_line(said, SHOWN_ERROR_CHARS), is_transient_error(found))
