"""Summarize a gate result for a history: the outcome, and each threshold as a value beside its limit."""

from __future__ import annotations

from evalkit.compare.history import HistoryResult, HistoryThreshold
from evalkit.core.check_scale import place_check
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
        is_accepted=result.acceptance is not None,
        thresholds=tuple(_build_threshold(check, units) for check in result.checks),
    )


def _build_threshold(check: Check, units: dict[str, str]) -> HistoryThreshold:
    rule = check.rule
    unit = "" if rule.stat == "rate" else units.get(rule.metric, "")
    placed = place_check(check, unit)
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
        low=placed.low if placed else None,
        high=placed.high if placed else None,
        baseline=check.baseline,
        limit=placed.limit if placed else None,
        is_upper=placed.is_upper if placed else False,
        primary=rule.primary,
        advisory=bool(check.advisory),
    )
