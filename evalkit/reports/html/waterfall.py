"""The steps of a trial as a waterfall: a row a step, a bar for when it ran and how long."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.reports.html.markup import Html, join, tag
from evalkit.reports.nesting import Branch, grow
from evalkit.reports.numbers import value_text
from evalkit.reports.standing import json_text
from evalkit.spans import Span

_MOST_SPANS = 60
_MOST_DEPTH = 8
_WIDTH = 300.0
_LONGEST_NAME = 60
_CUTS = (160, 40, 0)
"""How long texts may be where there is little room; at 0 a row says no more than what ran and when."""


def waterfall(spans: Sequence[Span], limit: int, room: int) -> Html | None:
    """The steps below each other as they were nested; None where none was seen.

    No text is longer than `limit`, and the whole takes at most `room` bytes, or a row if that is more:
    first texts are cut for it, then steps are left out.
    """
    if not spans:
        return None
    rows = grow(sorted(spans, key=lambda span: (span.start_s, span.id)))
    for cut in (limit, *(cut for cut in _CUTS if cut < limit)):
        drawn = _draw(rows, _MOST_SPANS, cut)
        if len(drawn.encode()) <= room:
            return drawn
    most = min(_MOST_SPANS, len(rows))
    while most > 1 and len(drawn.encode()) > room:
        most //= 2
        drawn = _draw(rows, most, 0)
    return drawn


def _draw(rows: Sequence[Branch], most: int, limit: int) -> Html:
    end = max(row.span.start_s + row.span.duration_s for row in rows) or 1e-9
    shown = [_row(row.span, min(row.depth - 1, _MOST_DEPTH), end, limit) for row in rows[:most]]
    left_out = len(rows) - len(shown)
    more = tag("p", f"{left_out:,} more steps", class_="about") if left_out > 0 else None
    return tag("div", tag("h4", "steps"), join(shown), more, class_="waterfall")


def _row(span: Span, depth: int, end: float, limit: int) -> Html:
    """One step. A page may hold thousands, so what all of them share is left to the style."""
    words = [
        span.tool or span.model,
        *([f"error: {span.error_type} {span.error}"] if span.error_type or span.error else []),
    ]
    x = _WIDTH * min(1.0, max(0.0, span.start_s / end))
    width = max(1.5, min(_WIDTH - x, _WIDTH * span.duration_s / end))
    kind = f"{span.kind}{' broken' if span.error_type else ''}"
    bar = tag("path", d=f"M{x:.4g} 6h{width:.4g}", class_=kind)
    head = (
        tag("b", span.name[:_LONGEST_NAME], class_=f"depth{depth}"),
        tag("svg", bar, viewBox=f"0 0 {_WIDTH:g} 12"),
        tag("i", value_text(span.duration_s, "s")),
        tag("span", " ".join(filter(None, words))[: max(limit, _CUTS[-2])], class_="because"),
    )
    inside = [
        f"{name}: {json_text(value)[:limit]}"
        for name, value in (("arguments", span.arguments), ("result", span.result))
        if value is not None and limit
    ]
    if not inside:
        return tag("div", *head, class_="step")
    return tag("details", tag("summary", *head), tag("pre", "\n".join(inside)), class_="step")
