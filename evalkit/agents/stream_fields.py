"""The fields of a stream without a known format: named by the eval set, or found from the events."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.agents.placeholders import get_at_path
from evalkit.agents.server_events import DEFAULT_NAME, ServerEvent
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line

DELTA_PATHS = (
    "delta",
    "token",
    "text",
    "content",
    "chunk",
    "data",
    "answer",
    "response",
    "message",
    "completion",
    "output_text",
    "value",
    "delta.text",
    "delta.content",
    "token.text",
    "message.content",
    "data.text",
    "data.content",
    "data.delta",
)
"""Where servers put the next piece of the text."""

MIN_GROWING_PIECES = 3
"""So many texts, of which each begins with the one before, are no pieces but the whole text so far."""

SHOWN_LABEL_CHARS = 40
MAX_SUGGESTED_DEPTH = 8

_NAMES = ("type", "event", "kind", "id", "name", "role", "model", "object", "run_id")
"""Keys whose texts name something and are no answer."""

_ASIDE = re.compile(
    r"(?:^|[^a-z])(?:status|progress|thinking|thought|reason|log|debug|tool|meta|step|ping|source)",
    re.IGNORECASE,
)
"""Labels of events whose texts are not the answer."""


class BadStream(Exception):
    """The stream has no answer that can be read for certain; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFields:
    """The mapping under `stream`.

    `delta` is the path of the next piece of the text in an event, `snapshot` that of the whole text so
    far; one of them is given. The empty path is the whole event. With `event`, only events of this name or type count. `end` is the last
    event: its data, its name or type, or the path of a value in it that is true.
    """

    delta: str | None = None
    snapshot: str | None = None
    event: str | None = None
    end: str | None = None

    def find_problems(self) -> Iterator[str]:
        """Yield what is wrong with the mapping."""
        if (self.delta is None) == (self.snapshot is None):
            yield (
                "'stream' needs either 'delta', the path of the next piece of text in an event, or "
                "'snapshot', the path of the whole text so far."
            )

    @property
    def is_whole_event(self) -> bool:
        """Whether the text is all data of an event, which may be any text."""
        return "" in (self.delta, self.snapshot)

    def iter_pieces(self, events: Iterable[ServerEvent]) -> Iterator[tuple[ServerEvent, str]]:
        """Yield the events that have text, with the text."""
        path = self.snapshot if self.delta is None else self.delta
        for event in events:
            is_chosen = self.event in (None, event.name or DEFAULT_NAME, event.label)
            if is_chosen and not event.is_done and not self.is_end(event):
                piece = find_text(event, path or "")
                if piece is not None:
                    yield event, piece

    def is_end(self, event: ServerEvent) -> bool:
        """Return whether an event is the last of the stream."""
        if self.end is None:
            return False
        if self.end in (event.data.strip(), event.name, event.label):
            return True
        try:
            return bool(get_at_path(event.value, self.end))
        except LookupError:
            return False


def find_text(event: ServerEvent, path: str) -> str | None:
    """Return the text at a path in an event, or None; the empty path is the whole event."""
    if not path:
        return event.value if isinstance(event.value, str) else event.data
    try:
        found = get_at_path(event.value, path)
    except LookupError:
        return None
    return found if isinstance(found, str) else None


def find_fields(events: Sequence[ServerEvent]) -> StreamFields:
    """Return the only field that can be the text.

    Raises:
        BadStream: no field is, or several are.
    """
    found = _drop_repeats(_collect_texts(events))
    if not found:
        path = _suggest_path(events)
        raise BadStream(
            "in which evalkit does not know the field with the text. Name it, as in: "
            f"stream: {{delta: {path or 'PATH'}}}"
            f"{'' if path else ', or set text: true if the events are plain text'}"
        )
    if len(found) > 1:
        names = [_describe(path, label) for path, label in found]
        path, label = max(found, key=lambda key: len(found[key]))
        example = f"delta: {path}, event: {label or DEFAULT_NAME}"
        raise BadStream(
            f"in which several fields may be the text: {', '.join(names[:4])}. "
            f"Say which, as in: stream: {{{example}}}"
        )
    [((path, label), pieces)] = found.items()
    if _is_growing(pieces):
        raise BadStream(
            f"in which each {path!r} repeats the one before. If it is the whole text so far, write: "
            f"stream: {{snapshot: {path}}}. If it is the next piece, write: stream: {{delta: {path}}}"
        )
    return StreamFields(delta=path, event=label or None)


Texts: TypeAlias = dict[tuple[str, str], list[str]]
"""The texts at each path in events of each label."""


def _collect_texts(events: Sequence[ServerEvent]) -> Texts:
    texts: Texts = defaultdict(list)
    for event in events:
        is_json_text = isinstance(event.value, str) and event.value != event.data
        for path in ("",) if is_json_text else DELTA_PATHS:
            text = find_text(event, path)
            if text is not None and not _ASIDE.search(event.label):
                texts[path, event.label].append(text)
    # Events that begin and end a stream often repeat the field without text.
    return {key: pieces for key, pieces in texts.items() if any(pieces)} or texts


def _drop_repeats(texts: Texts) -> Texts:
    """Leave out a field that repeats the pieces of another one, and an event that repeats the whole text."""
    kept: Texts = {}
    for (path, label), pieces in texts.items():
        if pieces not in [other for key, other in kept.items() if key[1] == label]:
            kept[path, label] = pieces
    wholes = {"".join(pieces) for pieces in kept.values() if len(pieces) > 1}
    return {
        key: pieces for key, pieces in kept.items() if len(pieces) > 1 or pieces[0] not in wholes
    }


def _suggest_path(events: Sequence[ServerEvent]) -> str:
    """Return the path at which the most events have different texts; empty if there is none."""
    texts: dict[str, set[str]] = defaultdict(set)
    for event in events:
        for path, text in _iter_leaves(event.value):
            if path.rpartition(".")[2] not in _NAMES:
                texts[path].add(text)
    return max(texts, key=lambda path: len(texts[path]), default="")


def _iter_leaves(value: Json, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and path:
        yield path, value
    elif isinstance(value, dict | list) and depth < MAX_SUGGESTED_DEPTH:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if str(key).isprintable() and "." not in str(key):
                yield from _iter_leaves(item, f"{path}.{key}".lstrip("."), depth + 1)


def _describe(path: str, label: str) -> str:
    return f"{path!r} of {one_line(label, SHOWN_LABEL_CHARS)!r}" if label else repr(path)


def _is_growing(pieces: Sequence[str]) -> bool:
    texts = [piece for piece in pieces if piece]
    pairs = itertools.pairwise(texts)
    return len(texts) >= MIN_GROWING_PIECES and all(
        len(after) > len(before) and after.startswith(before) for before, after in pairs
    )
