"""Render the size and cost of a planned run as terminal text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.report.content import value_cell
from evalkit.report.documents import render_record
from evalkit.report.screen import Screen, join_folded


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The size of a planned run; the cost is None if no stored trial has one.

    A case takes up to `most_trials` if the first `trials` do not decide the gate; calls and cost are those
    of the first `trials`. `judge_calls` is an upper bound, because a cached verdict needs no call.
    `warnings` name the thresholds that this run cannot decide.
    """

    evalset: str
    agent: str
    cases: tuple[str, ...]
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
    """Render a planned run for a terminal."""
    cost = "unknown (no stored trial has a cost)"
    if preview.cost_usd is not None:
        cost = f"about {value_cell(preview.cost_usd, 'usd')}, as in the baseline"
    baseline = "none yet"
    if preview.baseline_trials:
        baseline = f"{format_count(preview.baseline_trials, 'trial')} per case"
    calls = format_count(preview.agent_calls, "agent call")
    judged = "no calls"
    if preview.judge_calls:
        judged = f"{format_count(preview.judge_calls, 'call')} at most, controls included"
    more = ""
    if preview.most_trials > preview.trials:
        more = f"; up to {preview.most_trials} per case while the gate is inconclusive"
    in_set = format_count(preview.cases_in_set, "case")
    lines = [
        f"Would run {len(preview.cases)} of {in_set} of {preview.evalset}",
        f"  agent: {preview.agent}",
        f"  trials: {preview.trials} per case, {calls} in total{more}",
        f"  cost of the agent: {cost}",
        f"  scored by: {', '.join(preview.metrics)}",
        *([f"  judge: {preview.judge}, {judged}"] if preview.judge else []),
        f"  baseline: {baseline}",
        f"  cases: {', '.join(preview.cases)}",
        *(f"  warning: {warning}" for warning in preview.warnings),
        "Nothing was run.",
    ]
    return join_folded(lines, screen)


def dry_run_json(preview: DryRun) -> str:
    """Render a planned run as an `evalkit.preview/v1` document."""
    return render_record("evalkit.preview/v1", preview)
