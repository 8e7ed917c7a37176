"""Render the spans of a trial as terminal lines with time bars, and two trials next to each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.core.safe_text import cell_width
from evalkit.core.spans import Span
from evalkit.report.case_status import json_text
from evalkit.report.content import value_cell
from evalkit.report.screen import Screen, Style
from evalkit.report.span_tree import TreeNode, build_tree, is_failed, step_name

MAX_STEPS = 80
_MAX_VALUE_CHARS = 300
_DURATION_CELLS = 10
_MARK_STYLES: dict[str, Style] = {"<": "bad", ">": "good", "~": "warn", " ": ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class _TreeLayout:
    """The width of names and bars in cells, and the time in seconds of a full bar."""

    name_cells: int
    bar_cells: int
    end_s: float
    screen: Screen

    def line(self, indent: str, name: str, start_s: float, duration_s: float, style: Style) -> str:
        """Return the line of one step."""
        shown = indent + self.screen.show(name, max(self.name_cells - len(indent), 4))
        padding = " " * (self.name_cells - cell_width(shown))
        took = value_cell(duration_s, "s").rjust(_DURATION_CELLS)
        bar = self.screen.paint(self._bar(start_s, duration_s), style or "dim")
        return f"  {self.screen.paint(shown, style)}{padding}{took}  {bar}"

    def _bar(self, start_s: float, duration_s: float) -> str:
        """Return the bar of a step, at least one cell long."""
        block = "█" if self.screen.unicode else "#"
        if self.end_s <= 0:
            return block
        first = min(int(self.bar_cells * start_s / self.end_s), self.bar_cells - 1)
        last = min(round(self.bar_cells * (start_s + duration_s) / self.end_s), self.bar_cells)
        return " " * first + block * max(last - first, 1)


def tree_lines(spans: Sequence[Span], latency_s: float, screen: Screen) -> Iterator[str]:
    """Yield the steps of a trial: when each one ran, its input and output, and its error."""
    nodes = build_tree(spans)
    bar_cells = max(min(screen.columns // 4, 24), 8)
    layout = _TreeLayout(
        name_cells=screen.columns - 2 - _DURATION_CELLS - 2 - bar_cells - 1,
        bar_cells=bar_cells,
        end_s=max([latency_s, *(span.start_s + span.duration_s for span in spans)]),
        screen=screen,
    )
    yield layout.line("", "trial", 0.0, latency_s, "")
    for span, depth in nodes[:MAX_STEPS]:
        indent = "  " * min(depth, layout.name_cells // 6)
        style: Style = "bad" if is_failed(span) else ""
        yield layout.line(indent, step_name(span), span.start_s, span.duration_s, style)
        for text, detail_style in _details(span):
            bounded = text[:_MAX_VALUE_CHARS]
            for line in screen.fold(bounded, indent=f"    {indent}", hang=f"      {indent}"):
                yield screen.paint(line, detail_style)
    if len(nodes) > MAX_STEPS:
        yield f"  ... and {len(nodes) - MAX_STEPS:,} more steps"


def _details(span: Span) -> Iterator[tuple[str, Style]]:
    if span.kind == "model":
        if details := ", ".join(_model_details(span)):
            yield details, "dim"
    elif span.kind in ("tool", "retrieval"):
        if span.arguments is not None:
            yield f"in   {json_text(span.arguments)}", ""
        if span.result is not None:
            yield f"out  {json_text(span.result)}", ""
    if is_failed(span):
        # Many libraries repeat the type as the message.
        words = dict.fromkeys(filter(None, (span.error_type, span.error)))
        yield f"{': '.join(words)}", "bad"


def _model_details(span: Span) -> Iterator[str]:
    if span.input_tokens is not None or span.output_tokens is not None:
        yield f"{span.input_tokens or 0:,} + {span.output_tokens or 0:,} tokens"
    if span.cost_usd is not None:
        yield value_cell(span.cost_usd, "usd")
    if span.prompt:
        yield f"prompt {span.prompt}"
    if span.temperature is not None:
        yield f"temperature {span.temperature:g}"


def render_side_by_side(
    before: Sequence[Span], now: Sequence[Span], titles: tuple[str, str], screen: Screen
) -> Iterator[str]:
    """Yield two trees next to each other, with marks on steps that differ or that only one has."""
    left, right = build_tree(before)[:MAX_STEPS], build_tree(now)[:MAX_STEPS]
    cells = (screen.columns - 7) // 2
    yield screen.paint(_join_sides(titles[0], " ", titles[1], cells, screen), "dim")
    keys = [[(depth, step_name(span)) for span, depth in side] for side in (left, right)]
    # With autojunk, steps that are repeated often would not be matched.
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    pairs: list[tuple[TreeNode | None, str, TreeNode | None]] = []
    for what, start, stop, other_start, other_stop in matcher.get_opcodes():
        if what == "equal":
            for one, other in zip(left[start:stop], right[other_start:other_stop], strict=True):
                pairs.append((one, " " if _is_same_step(one.span, other.span) else "~", other))
            continue
        pairs += [(one, "<", None) for one in left[start:stop]]
        pairs += [(None, ">", other) for other in right[other_start:other_stop]]
    for before_node, mark, now_node in pairs:
        line = _join_sides(_side_text(before_node), mark, _side_text(now_node), cells, screen)
        yield screen.paint(line, _MARK_STYLES[mark])


def _is_same_step(one: Span, other: Span) -> bool:
    if is_failed(one) != is_failed(other):
        return False
    return one.kind != "tool" or one.arguments == other.arguments


def _side_text(node: TreeNode | None) -> str:
    if node is None:
        return ""
    span = node.span
    arguments = ""
    if span.kind == "tool" and span.arguments is not None:
        arguments = f"({json_text(span.arguments)[:_MAX_VALUE_CHARS]})"
    failed = f" FAILED {span.error_type}" if is_failed(span) else ""
    return "  " * min(node.depth - 1, 8) + step_name(span) + failed + arguments


def _join_sides(one: str, mark: str, other: str, cells: int, screen: Screen) -> str:
    sides = []
    for text in (one, other):
        indent = " " * (len(text) - len(text.lstrip(" ")))
        shown = indent + screen.show(text.lstrip(" "), max(cells - len(indent), 4)) if text else ""
        sides.append(shown + " " * (cells - cell_width(shown)))
    return f"  {sides[0]} {mark} {sides[1]}".rstrip()
