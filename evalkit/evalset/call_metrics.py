"""Rules about the calls of one tool or one model, turned into rules about metrics of those calls alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.eval_set import MetricSpec, Rule
from evalkit.core.location import Problem


def add_call_metrics(
    metrics: Sequence[MetricSpec], gate: Sequence[Rule], problems: list[Problem]
) -> tuple[tuple[MetricSpec, ...], tuple[Rule, ...]]:
    """Give every rule with `tool` or `model` the metric it is about, called `metric[tool]`.

    It is the set's metric of that name with one more argument, scored beside it, so that all else
    need not know of tools and models.
    """
    known = {spec.name: spec for spec in metrics}
    rules = []
    for rule in gate:
        narrowed = {
            key: value
            for key, value in (("tool", rule.tool), ("model", rule.model))
            if value is not None
        }
        if not narrowed:
            rules.append(rule)
            continue
        spec = known.get(rule.metric)
        if spec is None:
            names = ", ".join(known) or "none"
            message = (
                f"gate: {' and '.join(narrowed)} narrows a metric that the set lists, and "
                f"{rule.metric!r} is not one. Listed: {names}."
            )
            problems.append(Problem(message=message, where=rule.where))
            continue
        name = f"{rule.metric}[{', '.join(narrowed.values())}]"
        known.setdefault(
            name, replace(spec, name=name, args={**spec.args, **narrowed}, where=rule.where)
        )
        rules.append(replace(rule, metric=name))
    return tuple(known.values()), tuple(rules)
