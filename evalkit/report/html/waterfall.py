"""The steps of a trial as a waterfall: a row a step, a bar for when it ran and how long."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.spans import Span
from evalkit.report.case_status import json_text
from evalkit.report.html.markup import Html, join, tag
from evalkit.report.numbers import value_cell
from evalkit.report.span_tree import TreeNode, build_tree

_MAX_SPANS = 60
_MAX_DEPTH = 8
_WIDTH = 300.0
_MAX_NAME_CHARS = 60
_TEXT_LIMITS = (160, 40, 0)
"""How long texts may be where there is little room; at 0 a row says no more than what ran and when."""


def render_waterfall(spans: Sequence[Span], limit: int, room: int) -> Html | None:
    """The steps below each other as they were nested; None where none was seen.

    No text is longer than `limit`, and the whole takes at most `room` bytes, or a row if that is more:
    first texts are cut for it, then steps are left out.
    """
    if not spans:
        return None
    rows = build_tree(sorted(spans, key=lambda span: (span.start_s, span.id)))
    for cut in (limit, *(cut for cut in _TEXT_LIMITS if cut < limit)):
        drawn = _render_rows(rows, _MAX_SPANS, cut)
        if len(drawn.encode()) <= room:
            return drawn
    most = min(_MAX_SPANS, len(rows))
    while most > 1 and len(drawn.encode()) > room:
        most //= 2
        drawn = _render_rows(rows, most, 0)
    return drawn


def _render_rows(rows: Sequence[TreeNode], most: int, limit: int) -> Html:
    end = max(row.span.start_s + row.span.duration_s for row in rows) or 1e-9
    shown = [_row(row.span, min(row.depth - 1, _MAX_DEPTH), end, limit) for row in rows[:most]]
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
        tag("b", span.name[:_MAX_NAME_CHARS], class_=f"depth{depth}"),
        tag("svg", bar, viewBox=f"0 0 {_WIDTH:g} 12"),
        tag("i", value_cell(span.duration_s, "s")),
        tag(
            "span", " ".join(filter(None, words))[: max(limit, _TEXT_LIMITS[-2])], class_="because"
        ),
    )
    inside = [
        f"{name}: {json_text(value)[:limit]}"
        for name, value in (("arguments", span.arguments), ("result", span.result))
        if value is not None and limit
    ]
    if not inside:
        return tag("div", *head, class_="step")
    return tag("details", tag("summary", *head), tag("pre", "\n".join(inside)), class_="step")
