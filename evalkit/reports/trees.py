"""The spans of a trial as a tree with bars of time, and two trees side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.reports.layout import Screen, Style
from evalkit.reports.nesting import Branch, grow
from evalkit.reports.numbers import value_text
from evalkit.reports.standing import json_text
from evalkit.spans import Span
from evalkit.text import cell_width

MOST_STEPS = 80
_LONGEST_VALUE = 300
_TOOK_CELLS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ruler:
    """How a tree is laid out: cells for names and for bars, and the time that a full bar stands for."""

    name_cells: int
    bar_cells: int
    end_s: float
    screen: Screen

    def line(self, indent: str, name: str, start_s: float, duration_s: float, style: Style) -> str:
        """One step."""
        shown = indent + self.screen.show(name, max(self.name_cells - len(indent), 4))
        padding = " " * (self.name_cells - cell_width(shown))
        took = value_text(duration_s, "s").rjust(_TOOK_CELLS)
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
    branches = grow(spans)
    bar_cells = max(min(screen.columns // 4, 24), 8)
    ruler = _Ruler(
        name_cells=screen.columns - 2 - _TOOK_CELLS - 2 - bar_cells - 1,
        bar_cells=bar_cells,
        end_s=max([latency_s, *(span.start_s + span.duration_s for span in spans)]),
        screen=screen,
    )
    yield ruler.line("", "trial", 0.0, latency_s, "")
    for branch in branches[:MOST_STEPS]:
        span, indent = branch.span, "  " * min(branch.depth, ruler.name_cells // 6)
        style: Style = "bad" if is_failed(span) else ""
        yield ruler.line(indent, name_of(span), span.start_s, span.duration_s, style)
        for text, its_style in _details(span):
            bounded = text[:_LONGEST_VALUE]
            for line in screen.fold(bounded, indent=f"    {indent}", hang=f"      {indent}"):
                yield screen.paint(line, its_style)
    if len(branches) > MOST_STEPS:
        yield f"  ... and {len(branches) - MOST_STEPS:,} more steps"


def is_failed(span: Span) -> bool:
    """Whether a step went wrong."""
    return bool(span.error or span.error_type)


def name_of(span: Span) -> str:
    """What a step is called: its kind and what it called, or its own name."""
    if span.kind == "tool":
        return f"tool {span.tool or span.name}"
    if span.kind == "model":
        return f"model {span.model or span.name}"
    return span.name


def _details(span: Span) -> Iterator[tuple[str, Style]]:
    if span.kind == "model":
        facts = _model_facts(span)
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


def _model_facts(span: Span) -> str:
    tokens = None
    if span.input_tokens is not None or span.output_tokens is not None:
        tokens = f"{span.input_tokens or 0:,} + {span.output_tokens or 0:,} tokens"
    return ", ".join(
        filter(
            None,
            (
                tokens,
                None if span.cost_usd is None else value_text(span.cost_usd, "usd"),
                f"prompt {span.prompt}" if span.prompt else None,
                None if span.temperature is None else f"temperature {span.temperature:g}",
            ),
        )
    )


def side_by_side(
    before: Sequence[Span], now: Sequence[Span], titles: tuple[str, str], screen: Screen
) -> Iterator[str]:
    """Two trees, equal steps in one line; what only one of them has is marked."""
    left, right = grow(before)[:MOST_STEPS], grow(now)[:MOST_STEPS]
    cells = (screen.columns - 7) // 2
    yield screen.paint(_pair(titles[0], " ", titles[1], cells, screen), "dim")
    keys = [[(branch.depth, name_of(branch.span)) for branch in side] for side in (left, right)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for what, start, stop, other_start, other_stop in matcher.get_opcodes():
        if what == "equal":
            for one, other in zip(left[start:stop], right[other_start:other_stop], strict=True):
                mark = " " if _same(one.span, other.span) else "~"
                yield _paired(one, mark, other, cells, screen)
            continue
        for one in left[start:stop]:
            yield _paired(one, "<", None, cells, screen)
        for other in right[other_start:other_stop]:
            yield _paired(None, ">", other, cells, screen)


def _same(one: Span, other: Span) -> bool:
    if is_failed(one) != is_failed(other):
        return False
    return one.kind != "tool" or one.arguments == other.arguments


def _paired(one: Branch | None, mark: str, other: Branch | None, cells: int, screen: Screen) -> str:
    styles: dict[str, Style] = {"<": "bad", ">": "good", "~": "warn"}
    line = _pair(_side_text(one), mark, _side_text(other), cells, screen)
    return screen.paint(line, styles.get(mark, ""))


def _side_text(branch: Branch | None) -> str:
    if branch is None:
        return ""
    span = branch.span
    arguments = ""
    if span.kind == "tool" and span.arguments is not None:
        arguments = f"({json_text(span.arguments)[:_LONGEST_VALUE]})"
    failed = f" FAILED {span.error_type}" if is_failed(span) else ""
    return "  " * min(branch.depth - 1, 8) + name_of(span) + failed + arguments


def _pair(one: str, mark: str, other: str, cells: int, screen: Screen) -> str:
    sides = []
    for text in (one, other):
        indent = " " * (len(text) - len(text.lstrip(" ")))
        shown = indent + screen.show(text.lstrip(" "), max(cells - len(indent), 4)) if text else ""
        sides.append(shown + " " * (cells - cell_width(shown)))
    return f"  {sides[0]} {mark} {sides[1]}".rstrip()
