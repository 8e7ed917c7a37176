"""Find labels that no threshold depends on."""

from __future__ import annotations

from evalkit.core.format import format_count
from evalkit.runner.records import Plan


def find_unjudged_labels(plan: Plan) -> tuple[str, ...]:
    """Return a warning if cases have `expected`, but no threshold uses a metric that checks answers by it."""
    labeled = [case for case in plan.cases if case.expected is not None]
    scorers = [scorer for case in plan.cases for scorer in plan.scorers[case.id]]
    judging = list(dict.fromkeys(each.info.name for each in scorers if each.judges_answers))
    others = {each.info.name for each in scorers if not each.judges_answers}
    # A rule without a metric counts the cases that pass, by all metrics.
    is_judged = any(rule.metric not in others if rule.metric else judging for rule in plan.gate)
    if is_judged or not labeled:
        return ()
    if judging:
        rule = f"{{metric: {judging[0]}, max_drop: 0.05}}"
        found, remedy = (
            "no threshold uses a metric that checks answers by it",
            f"Add to `gate`: {rule}",
        )
    else:
        found = "no metric checks answers by it"
        remedy = "Add one to `metrics`, such as contains, and a threshold for it to `gate`."
    count = format_count(len(labeled), "case")
    return (f"{count} with `expected`, but {found}, so a wrong answer passes. {remedy}",)
