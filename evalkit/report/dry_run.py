"""Render the result of `evalkit run --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.numbers import value_cell
from evalkit.report.screen import Screen
from evalkit.report.validate import _join_folded


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The size of a run; costs are None where no stored trial tells what one costs.

    `most_trials` may be run of each case if those before them decide nothing; calls and cost are those
    of the first `trials`. `judge_calls` are at most so many: a verdict that is kept takes none.
    """

    evalset: str
    agent: str
    case_ids: tuple[str, ...]
    cases_in_set: int
    trials: int
    most_trials: int
    agent_calls: int
    cost_usd: float | None
    metrics: tuple[str, ...]
    baseline_trials: int
    judge: str = ""
    judge_calls: int = 0
    warnings: tuple[str, ...] = ()


def dry_run_text(preview: DryRun, screen: Screen) -> str:
    """What would run; nothing has."""
    cost = "unknown (no stored trial says)"
    if preview.cost_usd is not None:
        cost = f"about {value_cell(preview.cost_usd, 'usd')}, as in the baseline"
    against = "none yet"
    if preview.baseline_trials:
        against = f"{format_count(preview.baseline_trials, 'trial')} a case"
    calls = format_count(preview.agent_calls, "agent call")
    judged = "no calls"
    if preview.judge_calls:
        judged = f"{format_count(preview.judge_calls, 'call')} at most, controls included"
    more = ""
    if preview.most_trials > preview.trials:
        more = f"; up to {preview.most_trials} of each case while the gate is undecided"
    lines = [
        f"Would run {len(preview.case_ids)} of {format_count(preview.cases_in_set, 'case')} of {preview.evalset}",
        f"  agent: {preview.agent}",
        f"  trials: {preview.trials} of each case, {calls} in all{more}",
        f"  cost of the agent: {cost}",
        f"  scored by: {', '.join(preview.metrics)}",
        *([f"  judge: {preview.judge}, {judged}"] if preview.judge else []),
        f"  baseline: {against}",
        f"  cases: {', '.join(preview.case_ids)}",
        *(f"  warning: {warning}" for warning in preview.warnings),
        "Nothing was run.",
    ]
    return _join_folded(lines, screen)


def dry_run_json(preview: DryRun) -> str:
    """The same for programs."""
    return format_json(
        {
            "schema": "evalkit.preview/v1",
            "evalset": preview.evalset,
            "agent": preview.agent,
            "cases": list(preview.case_ids),
            "cases_in_set": preview.cases_in_set,
            "trials": preview.trials,
            "most_trials": preview.most_trials,
            "agent_calls": preview.agent_calls,
            "cost_usd": preview.cost_usd,
            "metrics": list(preview.metrics),
            "baseline_trials": preview.baseline_trials,
            "judge": preview.judge,
            "judge_calls": preview.judge_calls,
            "warnings": list(preview.warnings),
        }
    )
