"""Draw the thresholds of a gate: every number that decides, beside its limit and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from evalkit.core.check_scale import PlacedCheck, place_check
from evalkit.core.format import format_bound, format_limit, name_rule
from evalkit.core.gate_result import Check
from evalkit.core.run import RunHeader
from evalkit.report import content
from evalkit.report.html.axis import SHARES, Axis, AxisTick, fit_axis
from evalkit.report.html.views import true_minus

_MAX_PASSES = 10
_WIDE_RANGE = 0.55
"""Shares that take up more of 0 % to 100 % than this are drawn on the whole of it."""


class ThresholdPlots(NamedTuple):
    """The rows of the thresholds, worst first, and the axis that those of shares have in common.

    The first `shown` rows are not folded: all that did not pass, and some that did.
    """

    rows: tuple[dict[str, Any], ...]
    shown: int
    ticks: tuple[AxisTick, ...]
    axis_text: str
    has_plots: bool
    has_baseline: bool


def draw_thresholds(header: RunHeader, checks: Sequence[Check]) -> ThresholdPlots:
    """Place thresholds of shares on one axis, and each other one on an axis of its own."""
    units = [content.unit_of(header, check) for check in checks]
    placed = [
        None if check.candidate is None else place_check(check, unit)
        for check, unit in zip(checks, units, strict=True)
    ]
    shares = [
        each
        for each, unit, check in zip(placed, units, checks, strict=True)
        if each is not None and _is_share(check, unit)
    ]
    axis = _shares_axis(shares)
    rows = tuple(
        _row(check, unit, each, axis)
        for check, unit, each in zip(checks, units, placed, strict=True)
    )
    is_whole = axis == SHARES
    show = partial(content.value_cell, unit="")
    to_read = [row for row, check in enumerate(checks, 1) if check.outcome != "pass"]
    most = max([_MAX_PASSES, *to_read])
    return ThresholdPlots(
        rows=rows,
        # A fold of one row would hide as much as it takes.
        shown=most if len(rows) > most + 1 else len(rows),
        ticks=axis.ticks(lambda share: f"{100 * share:.4g}%") if shares else (),
        axis_text=""
        if is_whole or not shares
        else f"axis from {show(axis.low)} to {show(axis.high)}",
        has_plots=any(each is not None for each in placed),
        has_baseline=any(each is not None and each.baseline is not None for each in placed),
    )


def _is_share(check: Check, unit: str) -> bool:
    return bool(check.rule.metric) and not unit


def _shares_axis(placed: Sequence[PlacedCheck]) -> Axis:
    """Return the whole axis of shares, or the part that all of them are on if that is short."""
    numbers = [number for each in placed for number in each.numbers]
    if not numbers:
        return SHARES
    is_share = min(numbers) >= 0 and max(numbers) <= 1
    if is_share and max(numbers) - min(numbers) >= _WIDE_RANGE:
        return SHARES
    return fit_axis(numbers, least=0.0, most=1.0) if is_share else fit_axis(numbers)


def _row(check: Check, unit: str, placed: PlacedCheck | None, shares: Axis) -> dict[str, Any]:
    baseline, now, change = content.check_cells(check, unit)
    limit = _limit_text(check, unit)
    is_share = _is_share(check, unit)
    name = name_rule(check.rule)
    interval = _interval_text(placed, unit)
    has_baseline = placed is not None and placed.baseline is not None
    finding = [f"{name}: {now}", f"was {baseline}" if has_baseline else "", f"allowed {limit}"]
    word = content.outcome_word(check)
    return {
        "outcome": check.outcome,
        "word": content.OUTCOME_WORDS[check.outcome],
        "is_advisory": bool(check.advisory),
        "name": name,
        "baseline": baseline if has_baseline else "",
        "now": now,
        "limit": limit if is_share or placed is None else f"{limit}, own axis",
        "label": ", ".join([*filter(None, finding), interval or "no interval"]) + f": {word}",
        "plot": None
        if placed is None
        else _plot(placed, shares if is_share else _own_axis(placed)),
        # The same numbers as a row of a table.
        "cells": (
            baseline,
            now,
            true_minus(change),
            content.limit_cell(check.rule, unit),
            true_minus(interval),
        ),
        "sentence": content.check_sentence(check),
    }


def _limit_text(check: Check, unit: str) -> str:
    """Return the limit of a threshold with a sign: `≥ 70%`, `drop ≤ 2 pt`, `≤ 0.5 s`."""
    rule = check.rule
    if rule.min is not None:
        return f"≥ {format_bound(rule.min, unit)}"
    if rule.max is not None:
        return f"≤ {format_bound(rule.max, unit)}"
    for word, change in (("drop", rule.max_drop), ("rise", rule.max_rise)):
        if change is not None:
            return f"{word} ≤ {format_limit(change, unit)}"
    if rule.must_pass is not None:
        return "every trial"
    most = rule.max_regressed if rule.max_regressed is not None else rule.broken_cases
    return f"≤ {most:,}" if most is not None else ""


def _interval_text(placed: PlacedCheck | None, unit: str) -> str:
    return "" if placed is None else content.interval_cell(placed.low, placed.high, unit)


def _own_axis(placed: PlacedCheck) -> Axis:
    """Return an axis from 0, if no number is below, to beyond the largest number."""
    numbers = placed.numbers
    low = min(0.0, *numbers)
    high = max(0.0, *numbers)
    return Axis(low, high + 0.2 * ((high - low) or 1.0))


def _plot(placed: PlacedCheck, axis: Axis) -> dict[str, Any]:
    def place(value: float | None) -> float | None:
        return None if value is None else axis.place(value)

    limit = place(placed.limit)
    zone = None
    if limit is not None:
        zone = (limit, 1.0) if placed.is_upper else (0.0, limit)
    bounds = place(placed.low), place(placed.high)
    return {
        "value": place(placed.value),
        "interval": None if None in bounds else bounds,
        "baseline": place(placed.baseline),
        "limit": limit,
        "zone": zone,
    }
