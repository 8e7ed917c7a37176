"""Render the thresholds of a gate as a table, on a wide terminal with their intervals on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.core.format import format_change, name_rule
from evalkit.core.gate_result import Check
from evalkit.core.run import RunHeader
from evalkit.report import content
from evalkit.report.model import Report
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    align_columns,
)
from evalkit.report.verdict import has_brief

_PLOT_SIZES = (34, 28, 22)
_MIN_PLOT_SCREEN = 110
_SHORT_INTERVAL = 15
_MAX_SENTENCES = 8
_OPEN_MEANS = "INCONCLUSIVE: too few cases or trials to prove a pass or a failure"
_RIGHT = (2, 3)


class _Marks(NamedTuple):
    """The characters of a plot."""

    axis: str
    interval: str
    limit: str
    baseline: str
    value: str


_MARKS = _Marks("·", "─", "┊", "│", "●")
_ASCII_MARKS = _Marks(".", "-", ":", "|", "o")


def threshold_lines(report: Report, screen: Screen, *, folds_passes: bool) -> list[str]:
    """Return a row for each threshold, worst first; with `folds_passes`, one line for all that hold."""
    checks = content.checks_by_urgency(report.gate_result)
    held = [check for check in checks if check.outcome == "pass"] if folds_passes else []
    shown = [check for check in checks if check not in held] if held else checks
    lines = _table(shown, report.run.header, screen)
    if held:
        names = ", ".join(name_rule(check.rule) for check in held)
        more = " more" if shown else ""
        folded = screen.fold(f"{len(held)}{more}: {names}", indent="  PASS  ", hang=" " * 8)
        lines += screen.paint_start(folded, "PASS", "good", indent="  ")
    if report.gate_result.outcome == "fail" and any(
        check.outcome == "inconclusive" for check in shown
    ):
        folded = screen.fold(_OPEN_MEANS, indent="  ", hang="    ")
        lines += [screen.paint(line, "dim") for line in folded]
    return lines


def _table(checks: Sequence[Check], header: RunHeader, screen: Screen) -> list[str]:
    """Return the table with plots and intervals, or with as much of them as the screen is wide."""
    if not checks:
        return []
    units = [content.unit_of(header, check) for check in checks]
    # Without a baseline, leave its column out.
    compares = any(check.baseline is not None for check in checks)
    rows = [_row(check, unit, compares=compares) for check, unit in zip(checks, units, strict=True)]
    titles = ("", "", "baseline" if compares else "", "this run", "allowed")
    intervals = [interval_text(check, unit) for check, unit in zip(checks, units, strict=True)]
    short = [text if len(text) <= _SHORT_INTERVAL else "" for text in intervals]
    for size in _PLOT_SIZES if screen.columns >= _MIN_PLOT_SCREEN else ():
        plots = [draw_interval(*each, size, screen) for each in zip(checks, units, strict=True)]
        axis = "0%".ljust(size - 4) + "100%"
        for texts in (intervals, short) if any(plots) else ():
            lines = _align_fitting((*titles, axis, "interval"), rows, screen, plots, texts)
            if lines:
                return [*lines, _legend(screen)]
    for texts in (intervals, short) if any(intervals) else ():
        lines = _align_fitting((*titles, "interval"), rows, screen, texts)
        if lines:
            return lines
    shrinkable = {1: 12, 4: 10}
    return align_columns(rows, screen, titles=titles, shrinkable=shrinkable, right=_RIGHT)


def _row(check: Check, unit: str, *, compares: bool) -> tuple[Cell | str, ...]:
    baseline, candidate, _ = content.check_cells(check, unit)
    return (
        Cell(
            content.outcome_word(check),
            "dim" if check.advisory else OUTCOME_STYLES[check.outcome],
        ),
        name_rule(check.rule),
        baseline.replace(content.NO_VALUE, "") if compares else "",
        candidate,
        content.limit_cell(check.rule, unit),
    )


def _align_fitting(
    titles: Sequence[str],
    rows: Sequence[tuple[Cell | str, ...]],
    screen: Screen,
    *columns: Sequence[str],
) -> list[str]:
    """Return rows with further columns, one line each; empty if they do not fit without a cut."""
    wide = [(*row, *(column[index] for column in columns)) for index, row in enumerate(rows)]
    lines = align_columns(wide, screen, titles=titles, shrinkable={}, right=_RIGHT)
    return lines if len(lines) == len(rows) + 1 else []


def interval_text(check: Check, unit: str) -> str:
    """Return the interval that decided a threshold: of the change if it compares, else of the value."""
    if check.low is None or check.high is None:
        return ""
    if not check.rule.compares:
        return content.interval_cell(check.low, check.high, unit).replace("% to ", " to ")
    low, high = (format_change(end, unit).removesuffix(" pt") for end in (check.low, check.high))
    return f"{low.removesuffix('%')} to {high}"


def draw_interval(check: Check, unit: str, size: int, screen: Screen) -> str:
    """Draw value, interval, baseline, and limit of a share on an axis from 0% to 100% of `size` cells.

    Return an empty text for a measurement, which has no such axis.
    """
    rule, value = check.rule, check.candidate
    if unit or not rule.metric or value is None or not 0 <= value <= 1 or check.preference:
        return ""
    marks = _MARKS if screen.unicode else _ASCII_MARKS
    cells = [marks.axis] * size

    def position(share: float) -> int:
        """Return the cell of a share; shares outside 0 to 1 are at the ends of the axis."""
        return round(min(max(share, 0.0), 1.0) * (size - 1))

    base = check.baseline if rule.compares else None
    origin = base or 0.0
    if check.low is not None and check.high is not None:
        first, last = (position(origin + end) for end in (check.low, check.high))
        cells[first : last + 1] = [marks.interval] * (last + 1 - first)
    limits = (rule.min, rule.max)
    if base is not None:
        cells[position(base)] = marks.baseline
        limits = (
            None if rule.max_drop is None else base - rule.max_drop,
            None if rule.max_rise is None else base + rule.max_rise,
        )
    for limit in limits:
        if limit is not None:
            cells[position(limit)] = marks.limit
    cells[position(value)] = marks.value
    return "".join(cells)


def _legend(screen: Screen) -> str:
    marks = _MARKS if screen.unicode else _ASCII_MARKS
    text = (
        f"{marks.value} this run  {marks.baseline} baseline  {marks.limit} limit  "
        f"{marks.interval} interval"
    )
    return f"  {screen.paint(text, 'dim')}"


def unexplained_lines(report: Report, screen: Screen) -> list[str]:
    """Return the sentences of thresholds that neither the reason nor the numbers of the table explain.

    Thresholds with the same reason share one sentence.
    """
    result = report.gate_result
    lines, causes = [], dict[str, list[Check]]()
    for check in content.unreported_checks(result):
        start = f"{content.OUTCOME_WORDS[check.outcome]} {name_rule(check.rule)}: "
        cause = check.sentence.removeprefix(start)
        has_numbers = check.outcome == "inconclusive" and check.candidate is not None
        if not has_brief(check) and not has_numbers and cause not in result.reason:
            causes.setdefault(cause, []).append(check)
    for cause, checks in list(causes.items())[:_MAX_SENTENCES]:
        word = content.OUTCOME_WORDS[checks[0].outcome]
        names = ", ".join(name_rule(check.rule) for check in checks)
        text = cause if cause.startswith(f"{word} ") else f"{word} {names}: {cause}"
        folded = screen.fold(text, indent="  ", hang="  ")
        lines += screen.paint_start(folded, word, OUTCOME_STYLES[checks[0].outcome], indent="  ")
    return lines
