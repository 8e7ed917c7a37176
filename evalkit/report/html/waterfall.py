"""Draw the steps of a trial as a waterfall: one row per step, with a bar for its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from evalkit.core.spans import Span
from evalkit.report.case_status import json_text
from evalkit.report.html.axis import Axis
from evalkit.report.html.page import render_macro
from evalkit.report.span_tree import TreeNode, build_tree, is_failed

_MAX_SPANS = 60
_MAX_DEPTH = 8
_MIN_WIDTH = 0.006
"""The width of the shortest bar, so that it is visible."""
_MAX_NAME_CHARS = 60
_TEXT_LIMITS = (160, 40, 0)
"""The limits to try if a waterfall is too large; at 0 a row has only a name, a time, and a bar."""


class StepSides(NamedTuple):
    """The steps of one trial before and now, to be drawn on one time axis; `before` may be empty."""

    before: Sequence[Span]
    now: Sequence[Span]


def render_step_sides(
    steps: Mapping[str, StepSides], limit: int, max_bytes: int
) -> dict[str, Markup]:
    """Draw the waterfalls of several cases; bytes that one does not need are left for the others."""
    with_steps = {case_id: sides for case_id, sides in steps.items() if any(sides)}
    drawn: dict[str, Markup] = {}
    for number, (case_id, sides) in enumerate(with_steps.items()):
        room = max_bytes // (len(with_steps) - number)
        length_s = max(map(_length_s, sides))
        known = [side for side in sides if side]
        parts = []
        for title, side in zip(("before", "now"), sides, strict=True):
            shown_title = title if len(known) > 1 else ""
            part = render_waterfall(
                side, limit, room // len(known), title=shown_title, length_s=length_s
            )
            parts += [part] if part is not None else []
        drawn[case_id] = Markup("").join(parts)
        max_bytes = max(0, max_bytes - len(drawn[case_id].encode()))
    return drawn


def render_waterfall(
    spans: Sequence[Span],
    limit: int,
    max_bytes: int,
    *,
    title: str = "",
    length_s: float | None = None,
) -> Markup | None:
    """Return the waterfall of nested steps, or None if there are no steps.

    No text is longer than `limit`. The waterfall has at most `max_bytes`, but at least one row. To fit,
    texts are cut first, then steps are left out. The axis starts with the first step and is `length_s`
    long; by default it ends with the last step.
    """
    if not spans:
        return None
    rows = build_tree(sorted(spans, key=lambda span: (span.start_s, span.id)))
    start_s = min(span.start_s for span, _ in rows)
    axis = Axis(start_s, start_s + (length_s or _length_s(spans) or 1e-9))
    head = "steps" if not title else f"steps {title}"
    heading = (
        f"{head}, on a time axis of {_duration_text(axis.high - axis.low)} from the first step"
    )
    for cut in (limit, *(cut for cut in _TEXT_LIMITS if cut < limit)):
        drawn = _render_rows(rows, _MAX_SPANS, cut, axis, heading)
        if len(drawn.encode()) <= max_bytes:
            return drawn
    # Halving needs few renderings and keeps at least half of the rows that would fit.
    most = min(_MAX_SPANS, len(rows))
    while most > 1 and len(drawn.encode()) > max_bytes:
        most //= 2
        drawn = _render_rows(rows, most, 0, axis, heading)
    return drawn


def _duration_text(seconds: float) -> str:
    """Return a duration in the unit that fits it: `38 µs`, `4.2 ms`, `1.31 s`."""
    if seconds >= 1000:
        return f"{seconds:,.0f} s"
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    size, unit = next((each for each in units if seconds >= each[0]), units[-1])
    return f"{seconds / size:.3g} {unit}"


def _length_s(spans: Sequence[Span]) -> float:
    """Return the time from the start of the first step to the end of the last."""
    if not spans:
        return 0.0
    return max(span.start_s + span.duration_s for span in spans) - min(
        span.start_s for span in spans
    )


def _render_rows(
    rows: Sequence[TreeNode], most: int, limit: int, axis: Axis, heading: str
) -> Markup:
    steps = [_step(span, min(depth - 1, _MAX_DEPTH), axis, limit) for span, depth in rows[:most]]
    return render_macro("waterfall", heading, steps, len(rows) - len(steps))


def _step(span: Span, depth: int, axis: Axis, limit: int) -> dict[str, Any]:
    about = [span.tool or span.model]
    if is_failed(span):
        about.append(f"error: {span.error_type} {span.error}")
    x = min(axis.place(span.start_s), 1.0 - _MIN_WIDTH)
    width = max(_MIN_WIDTH, axis.place(span.start_s + span.duration_s) - x)
    texts = [
        f"{name}: {json_text(value)[:limit]}"
        for name, value in (("arguments", span.arguments), ("result", span.result))
        if value is not None and limit
    ]
    return {
        "name": span.name[:_MAX_NAME_CHARS],
        "depth": depth,
        "kind": f"{span.kind}{' broken' if is_failed(span) else ''}",
        "x": x,
        "width": width,
        "took": _duration_text(span.duration_s),
        # The tool or model is shown even if there is no space for texts.
        "about": " ".join(filter(None, about))[: max(limit, _TEXT_LIMITS[-2])],
        "texts": "\n".join(texts),
    }
