"""The spans of a trial as a tree with bars of time, and two trees side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.core.safe_text import cell_width
from evalkit.core.spans import Span
from evalkit.report.case_status import json_text
from evalkit.report.numbers import value_cell
from evalkit.report.screen import Screen, Style

MAX_STEPS = 80
_MAX_VALUE_CHARS = 300
_DURATION_CELLS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _TreeLayout:
    """How a tree is laid out: cells for names and for bars, and the time that a full bar stands for."""

    name_cells: int
    bar_cells: int
    end_s: float
    screen: Screen

    def line(self, indent: str, name: str, start_s: float, duration_s: float, style: Style) -> str:
        """One step."""
        shown = indent + self.screen.show(name, max(self.name_cells - len(indent), 4))
        padding = " " * (self.name_cells - cell_width(shown))
        took = value_cell(duration_s, "s").rjust(_DURATION_CELLS)
        bar = self.screen.paint(self._bar(start_s, duration_s), style or "dim")
        return f"  {self.screen.paint(shown, style)}{padding}{took}  {bar}"

    def _bar(self, start_s: float, duration_s: float) -> str:
        """When a step ran, of the whole trial; at least one cell."""
        block = "█" if self.screen.unicode else "#"
        if self.end_s <= 0:
            return block
        first = min(int(self.bar_cells * start_s / self.end_s), self.bar_cells - 1)
        last = min(round(self.bar_cells * (start_s + duration_s) / self.end_s), self.bar_cells)
        return " " * first + block * max(last - first, 1)


def tree_lines(spans: Sequence[Span], latency_s: float, screen: Screen) -> Iterator[str]:
    """A trial's steps, one line each with when it ran, and what went in, came out or went wrong."""
    branches = build_tree(spans)
    bar_cells = max(min(screen.columns // 4, 24), 8)
    ruler = _TreeLayout(
        name_cells=screen.columns - 2 - _DURATION_CELLS - 2 - bar_cells - 1,
        bar_cells=bar_cells,
        end_s=max([latency_s, *(span.start_s + span.duration_s for span in spans)]),
        screen=screen,
    )
    yield ruler.line("", "trial", 0.0, latency_s, "")
    for branch in branches[:MAX_STEPS]:
        span, indent = branch.span, "  " * min(branch.depth, ruler.name_cells // 6)
        style: Style = "bad" if is_failed(span) else ""
        yield ruler.line(indent, step_name(span), span.start_s, span.duration_s, style)
        for text, its_style in _details(span):
            bounded = text[:_MAX_VALUE_CHARS]
            for line in screen.fold(bounded, indent=f"    {indent}", hang=f"      {indent}"):
                yield screen.paint(line, its_style)
    if len(branches) > MAX_STEPS:
        yield f"  ... and {len(branches) - MAX_STEPS:,} more steps"


def is_failed(span: Span) -> bool:
    """Whether a step went wrong."""
    return bool(span.error or span.error_type)


def step_name(span: Span) -> str:
    """What a step is called: its kind and what it called, or its own name."""
    if span.kind == "tool":
        return f"tool {span.tool or span.name}"
    if span.kind == "model":
        return f"model {span.model or span.name}"
    return span.name


def _details(span: Span) -> Iterator[tuple[str, Style]]:
    if span.kind == "model":
        facts = _model_details(span)
        if facts:
            yield facts, "dim"
    elif span.kind in ("tool", "retrieval"):
        if span.arguments is not None:
            yield f"in   {json_text(span.arguments)}", ""
        if span.result is not None:
            yield f"out  {json_text(span.result)}", ""
    if is_failed(span):
        words = dict.fromkeys(filter(None, (span.error_type, span.error)))
        yield f"{': '.join(words)}", "bad"


def _model_details(span: Span) -> str:
    tokens = None
    if span.input_tokens is not None or span.output_tokens is not None:
        tokens = f"{span.input_tokens or 0:,} + {span.output_tokens or 0:,} tokens"
    return ", ".join(
        filter(
            None,
            (
                tokens,
                None if span.cost_usd is None else value_cell(span.cost_usd, "usd"),
                f"prompt {span.prompt}" if span.prompt else None,
                None if span.temperature is None else f"temperature {span.temperature:g}",
            ),
        )
    )


def render_side_by_side(
    before: Sequence[Span], now: Sequence[Span], titles: tuple[str, str], screen: Screen
) -> Iterator[str]:
    """Two trees, equal steps in one line; what only one of them has is marked."""
    left, right = build_tree(before)[:MAX_STEPS], build_tree(now)[:MAX_STEPS]
    cells = (screen.columns - 7) // 2
    yield screen.paint(_join_sides(titles[0], " ", titles[1], cells, screen), "dim")
    keys = [[(branch.depth, step_name(branch.span)) for branch in side] for side in (left, right)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for what, start, stop, other_start, other_stop in matcher.get_opcodes():
        if what == "equal":
            for one, other in zip(left[start:stop], right[other_start:other_stop], strict=True):
                mark = " " if _is_same_step(one.span, other.span) else "~"
                yield _paired_line(one, mark, other, cells, screen)
            continue
        for one in left[start:stop]:
            yield _paired_line(one, "<", None, cells, screen)
        for other in right[other_start:other_stop]:
            yield _paired_line(None, ">", other, cells, screen)


def _is_same_step(one: Span, other: Span) -> bool:
    if is_failed(one) != is_failed(other):
        return False
    return one.kind != "tool" or one.arguments == other.arguments


def _paired_line(
    one: TreeNode | None, mark: str, other: TreeNode | None, cells: int, screen: Screen
) -> str:
    styles: dict[str, Style] = {"<": "bad", ">": "good", "~": "warn"}
    line = _join_sides(_side_text(one), mark, _side_text(other), cells, screen)
    return screen.paint(line, styles.get(mark, ""))


def _side_text(branch: TreeNode | None) -> str:
    if branch is None:
        return ""
    span = branch.span
    arguments = ""
    if span.kind == "tool" and span.arguments is not None:
        arguments = f"({json_text(span.arguments)[:_MAX_VALUE_CHARS]})"
    failed = f" FAILED {span.error_type}" if is_failed(span) else ""
    return "  " * min(branch.depth - 1, 8) + step_name(span) + failed + arguments


def _join_sides(one: str, mark: str, other: str, cells: int, screen: Screen) -> str:
    sides = []
    for text in (one, other):
        indent = " " * (len(text) - len(text.lstrip(" ")))
        shown = indent + screen.show(text.lstrip(" "), max(cells - len(indent), 4)) if text else ""
        sides.append(shown + " " * (cells - cell_width(shown)))
    return f"  {sides[0]} {mark} {sides[1]}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeNode:
    """A span and how deep it stands, from 1 on."""

    span: Span
    depth: int


def build_tree(spans: Sequence[Span]) -> list[TreeNode]:
    """Every span once, from the top down, each before what is below it.

    One whose parent is not there stands at the top, and so do those that are each other's parents.
    """
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else ""
        below.setdefault(parent, []).append(span)
    branches: list[TreeNode] = []
    seen: set[str] = set()
    for top in (*below.get("", ()), *spans):
        waiting = [TreeNode(span=top, depth=1)]
        while waiting:
            branch = waiting.pop()
            if branch.span.id in seen:
                continue
            seen.add(branch.span.id)
            branches.append(branch)
            children = reversed(below.get(branch.span.id, []))
            waiting += [TreeNode(span=child, depth=branch.depth + 1) for child in children]
    return branches
