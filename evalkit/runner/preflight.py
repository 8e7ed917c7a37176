"""Estimate the cost of a run, and find the thresholds that it cannot decide."""

from __future__ import annotations

import re

from evalkit.core.run import Run
from evalkit.runner.looks import count_planned_looks
from evalkit.runner.records import Plan
from evalkit.runner.unjudged_labels import find_unjudged_labels


def estimate_cost(baseline: Run | None, trials: int) -> float | None:
    """Return the expected cost of `trials` trials in USD, from the baseline's mean; None if unknown."""
    known = [trial.output.cost_usd for trial in baseline.trials] if baseline else []
    costs = [cost for cost in known if cost is not None]
    return sum(costs) / len(costs) * trials if costs else None


_HTTP_CAUTION = (
    "agent: evalkit does not start the HTTP service, and cannot see which version answers. Start it from this "
    "checkout, or write the version that runs as `version` under `agent`."
)
_UNDECIDABLE = re.compile(r": can(not| hardly| seldom) (pass|fail|be decided)\b")


def is_about_deciding(warning: str) -> bool:
    """Return whether a warning says that a threshold can hardly be decided.

    It does not matter to a run that failed, or that was not decided for another reason.
    """
    return bool(_UNDECIDABLE.search(warning))


def find_preflight_warnings(plan: Plan, baseline: Run | None) -> tuple[str, ...]:
    """Return the cautions of the metrics, and the reasons why this run cannot decide some thresholds."""
    used = {scorer.info.name: scorer for scorers in plan.scorers.values() for scorer in scorers}
    cautions = [f"{name}: {scorer.caution}" for name, scorer in used.items() if scorer.caution]
    cautions += find_unjudged_labels(plan)
    if plan.agent.kind == "http" and plan.agent.version is None and baseline is not None:
        cautions.append(_HTTP_CAUTION)
    # Shards are decided together, by `evalkit merge`.
    if plan.selection.shard or not any(
        rule.metric or rule.broken_cases is not None for rule in plan.gate
    ):
        return tuple(cautions)
    # These load numpy, which a gate without such rules does not need.
    from evalkit.compare.scores import build_score_table  # noqa: PLC0415
    from evalkit.gate.preflight import PlannedRun, find_undecidable  # noqa: PLC0415

    looks = count_planned_looks(plan, baseline)
    planned = PlannedRun(
        cases=plan.cases,
        trials=looks or plan.settings.first_trials,
        looks=looks,
        metrics={
            case.id: {scorer.info.name: scorer.info for scorer in plan.scorers[case.id]}
            for case in plan.cases
        },
    )
    table = build_score_table(baseline) if baseline else None
    return (*cautions, *find_undecidable(plan.gate, planned, table))
