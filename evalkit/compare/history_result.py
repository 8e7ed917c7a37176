"""Summarize a gate result for a history: the outcome, and each threshold as a value beside its limit."""

from __future__ import annotations

from evalkit.compare.history import HistoryResult, HistoryThreshold
from evalkit.core.eval_set import Rule
from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.run import Run

_KINDS = ("min", "max", "max_drop", "max_rise", "max_regressed", "broken_cases")


def build_history_result(result: GateResult, run: Run, baseline: Run | None) -> HistoryResult:
    """Return a run's gate result with its thresholds; `baseline` is what the run was compared with."""
    units = {info.name: info.unit for info in run.header.metrics}
    header = baseline.header if baseline is not None else None
    return HistoryResult(
        outcome=result.outcome,
        exit_code=result.exit_code,
        reason=result.reason,
        baseline=header.id if header else "",
        baseline_version=header.agent_version if header else "",
        thresholds=tuple(_build_threshold(check, units) for check in result.checks),
    )


def _build_threshold(check: Check, units: dict[str, str]) -> HistoryThreshold:
    rule = check.rule
    unit = "" if rule.stat == "rate" else units.get(rule.metric, "")
    low, high = _value_interval(check, unit)
    # A threshold on the cases that must pass has no number.
    kind = next((name for name in _KINDS if getattr(rule, name) is not None), "must_pass")
    return HistoryThreshold(
        name=name_rule(rule),
        metric=rule.metric,
        stat=rule.stat,
        tag=rule.tag,
        kind=kind,
        allowed=None if kind == "must_pass" else getattr(rule, kind),
        outcome=check.outcome,
        unit=unit,
        value=check.candidate,
        low=low,
        high=high,
        baseline=check.baseline,
        limit=compute_limit(rule, check.baseline, unit),
        is_upper=rule.max is not None or rule.max_rise is not None,
        primary=rule.primary,
        advisory=bool(check.advisory),
    )


def compute_limit(rule: Rule, baseline: float | None, unit: str) -> float | None:
    """Return the value that a rule's statistic may not pass, in the metric's unit; None if it has none.

    A change of a metric with a unit is a share of the baseline, and `and_at_least` is in the unit; the
    larger of both is allowed.
    """
    if rule.min is not None or rule.max is not None:
        return rule.min if rule.min is not None else rule.max
    share = rule.max_drop if rule.max_drop is not None else rule.max_rise
    if share is None or baseline is None:
        return None
    allowed = max(share * abs(baseline) if unit else share, rule.and_at_least or 0.0)
    return baseline - allowed if rule.max_drop is not None else baseline + allowed


def _value_interval(check: Check, unit: str) -> tuple[float | None, float | None]:
    """Return the 90 % interval of a check's value; for a change, the baseline plus that of the change."""
    low, high = check.display_low, check.display_high
    if low is None or high is None or not check.rule.compares:
        return low, high
    if check.baseline is None:
        return None, None
    size = abs(check.baseline) if unit else 1.0
    return check.baseline + size * low, check.baseline + size * high
