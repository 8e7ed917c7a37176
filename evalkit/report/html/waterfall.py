"""Draw the steps of a trial as a waterfall: one row per step, with a bar for its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evalkit.core.spans import Span
from evalkit.report.case_status import json_text
from evalkit.report.content import value_cell
from evalkit.report.html.page import render_macro
from evalkit.report.span_tree import TreeNode, build_tree, is_failed

_MAX_SPANS = 60
_MAX_DEPTH = 8
_WIDTH = 300.0
_MAX_NAME_CHARS = 60
_TEXT_LIMITS = (160, 40, 0)
"""The limits to try if a waterfall is too large; at 0 a row has only a name, a time, and a bar."""


def render_waterfalls(
    steps: Mapping[str, Sequence[Span]], limit: int, max_bytes: int
) -> dict[str, Markup]:
    """Draw the waterfalls of several cases; bytes that one does not need are left for the others."""
    with_steps = {case_id: spans for case_id, spans in steps.items() if spans}
    drawn: dict[str, Markup] = {}
    for number, (case_id, spans) in enumerate(with_steps.items()):
        markup = render_waterfall(spans, limit, max_bytes // (len(with_steps) - number))
        if markup is not None:
            drawn[case_id] = markup
            max_bytes = max(0, max_bytes - len(markup.encode()))
    return drawn


def render_waterfall(spans: Sequence[Span], limit: int, max_bytes: int) -> Markup | None:
    """Return the waterfall of nested steps, or None if there are no steps.

    No text is longer than `limit`. The waterfall has at most `max_bytes`, but at least one row. To fit,
    texts are cut first, then steps are left out.
    """
    if not spans:
        return None
    rows = build_tree(sorted(spans, key=lambda span: (span.start_s, span.id)))
    for cut in (limit, *(cut for cut in _TEXT_LIMITS if cut < limit)):
        drawn = _render_rows(rows, _MAX_SPANS, cut)
        if len(drawn.encode()) <= max_bytes:
            return drawn
    # Halving needs few renderings and keeps at least half of the rows that would fit.
    most = min(_MAX_SPANS, len(rows))
    while most > 1 and len(drawn.encode()) > max_bytes:
        most //= 2
        drawn = _render_rows(rows, most, 0)
    return drawn


def _render_rows(rows: Sequence[TreeNode], most: int, limit: int) -> Markup:
    end_s = max(span.start_s + span.duration_s for span, _ in rows) or 1e-9
    steps = [_step(span, min(depth - 1, _MAX_DEPTH), end_s, limit) for span, depth in rows[:most]]
    return render_macro("waterfall", steps, f"{_WIDTH:g}", len(rows) - len(steps))


def _step(span: Span, depth: int, end_s: float, limit: int) -> dict[str, Any]:
    about = [span.tool or span.model]
    if is_failed(span):
        about.append(f"error: {span.error_type} {span.error}")
    x = _WIDTH * min(1.0, max(0.0, span.start_s / end_s))
    # Make the shortest step visible.
    width = max(1.5, min(_WIDTH - x, _WIDTH * span.duration_s / end_s))
    texts = [
        f"{name}: {json_text(value)[:limit]}"
        for name, value in (("arguments", span.arguments), ("result", span.result))
        if value is not None and limit
    ]
    return {
        "name": span.name[:_MAX_NAME_CHARS],
        "depth": depth,
        "kind": f"{span.kind}{' broken' if span.error_type else ''}",
        "bar": f"M{x:.4g} 6h{width:.4g}",
        "took": value_cell(span.duration_s, "s"),
        # The tool or model is shown even if there is no space for texts.
        "about": " ".join(filter(None, about))[: max(limit, _TEXT_LIMITS[-2])],
        "texts": "\n".join(texts),
    }
