"""The steps of a trial as a waterfall: a row a step, a bar for when it ran and how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.reports.html.markup import Html, join, tag
from evalkit.reports.numbers import value_text
from evalkit.reports.standing import json_text
from evalkit.spans import Span

_MOST_SPANS = 60
_MOST_DEPTH = 8
_WIDTH = 300.0


def waterfall(spans: Sequence[Span], limit: int) -> Html | None:
    """The steps below each other as they were nested; None where none was seen."""
    if not spans:
        return None
    end = max(span.start_s + span.duration_s for span in spans) or 1e-9
    rows = [_row(span, depth, end, limit) for span, depth in list(nest(spans))[:_MOST_SPANS]]
    left_out = len(spans) - len(rows)
    more = tag("p", f"{left_out:,} more steps", class_="about") if left_out > 0 else None
    return tag("div", tag("h4", "steps"), join(rows), more, class_="waterfall")


def nest(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Every step after the one it stands below, with how deep it stands; each once."""
    below: dict[str, list[Span]] = {}
    known = {span.id for span in spans}
    for span in sorted(spans, key=lambda span: (span.start_s, span.id)):
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.id else ""
        below.setdefault(parent, []).append(span)
    seen: set[str] = set()

    def walk(parent: str, depth: int) -> Iterator[tuple[Span, int]]:
        for span in below.get(parent, ()):
            if span.id not in seen:
                seen.add(span.id)
                yield span, depth
                yield from walk(span.id, min(depth + 1, _MOST_DEPTH))

    yield from walk("", 0)
    # Steps that are each other's parents have no top to be reached from.
    yield from ((span, 0) for span in spans if span.id not in seen)


def _row(span: Span, depth: int, end: float, limit: int) -> Html:
    words = [
        span.tool or span.model,
        *([f"error: {span.error_type} {span.error}"] if span.error_type or span.error else []),
    ]
    facts = " ".join(filter(None, words))[:limit]
    x = _WIDTH * min(1.0, max(0.0, span.start_s / end))
    width = max(1.5, min(_WIDTH - x, _WIDTH * span.duration_s / end))
    bar = tag(
        "rect",
        x=round(x, 1),
        y=2,
        width=round(width, 1),
        height=8,
        class_=f"span {span.kind}{' broken' if span.error_type else ''}",
    )
    drawing = tag(
        "svg", bar, viewBox=f"0 0 {_WIDTH:g} 12", width=_WIDTH, height=12, aria_hidden="true"
    )
    inside = [
        tag("pre", f"{name}: {json_text(value)[:limit]}")
        for name, value in (("arguments", span.arguments), ("result", span.result))
        if value is not None
    ]
    head = tag(
        "summary",
        tag("span", span.name[:200], class_=f"step depth{depth}"),
        drawing,
        tag("span", value_text(span.duration_s, "s"), class_="passes"),
        tag("span", facts, class_="because"),
    )
    return tag("details", head, join(inside), class_="span-row")
