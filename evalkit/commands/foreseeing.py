"""What can be told of a run before anything is spent on it."""

from __future__ import annotations

from evalkit.plan import Plan
from evalkit.records import Run
from evalkit.samples import tabulate


def find_warnings(plan: Plan, baseline: Run | None) -> tuple[str, ...]:
    """What a metric has to be told beforehand, and the thresholds that the run cannot decide, and why."""
    used = {scorer.info.name: scorer for scorers in plan.scorers.values() for scorer in scorers}
    cautions = [f"{name}: {scorer.caution}" for name, scorer in used.items() if scorer.caution]
    if plan.selection.shard:
        return tuple(cautions)  # the parts are decided together
    if not any(rule.metric or rule.broken_cases is not None for rule in plan.gate):
        return tuple(cautions)
    from evalkit.gating.foresight import Planned, foresee  # noqa: PLC0415 - numpy, to weigh what will be
    from evalkit.staging import plan_looks  # noqa: PLC0415 - as above

    looks = plan_looks(plan, baseline)
    planned = Planned(
        cases=plan.cases,
        trials=looks or plan.settings.first_trials,
        looks=looks,
        metrics={
            case.id: {scorer.info.name: scorer.info for scorer in plan.scorers[case.id]}
            for case in plan.cases
        },
    )
    foreseen = foresee(plan.gate, planned, tabulate(baseline) if baseline else None)
    return (*cautions, *foreseen)
