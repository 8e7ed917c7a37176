"""The metrics that apply to each case of an eval set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from evalkit.core.eval_set import Case, EvalSet, MetricSpec
from evalkit.core.run import MetricInfo
from evalkit.evalset.keys import CRITERIA
from evalkit.metrics.scorers import Scorer, spec_digest

DEFAULT_METRICS = (MetricSpec(ref="exact_match", name="exact_match"),)
"""What a set without `metrics:` is scored by."""


def effective_metrics(evalset: EvalSet, case: Case) -> tuple[MetricSpec, ...]:
    """The metrics of one case: the set's, with the case's own in their place or on top.

    A case's own metrics stand for the default one; what it demands in words comes on top of it.
    """
    own = {spec.name: spec for spec in case.metrics}
    shared = evalset.metrics or (() if own.keys() - {CRITERIA} else DEFAULT_METRICS)
    wanted = [spec for spec in shared if not spec.tags or set(spec.tags) & set(case.tags)]
    replaced = [own.pop(spec.name, spec) for spec in wanted]
    return (*replaced, *own.values())


def distinct_specs(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]]
) -> tuple[MetricSpec, ...]:
    """Every metric asked for anywhere in the set, once."""
    named = [*evalset.metrics, *(spec for case_specs in specs.values() for spec in case_specs)]
    return tuple({spec_digest(spec): spec for spec in reversed(named)}.values())


def applicable_scorers(
    case: Case, specs: Sequence[MetricSpec], opened: Mapping[str, Scorer]
) -> tuple[Scorer, ...]:
    """The scorers that have what they need in this case, in the order of the metrics."""
    scorers = (opened[spec_digest(spec)] for spec in specs)
    return tuple(scorer for scorer in scorers if scorer.applies_to(case))


def describe_metrics(
    cases: Iterable[Case],
    specs: Mapping[str, Sequence[MetricSpec]],
    opened: Mapping[str, Scorer],
) -> tuple[MetricInfo, ...]:
    """Every metric of a set by name, also of the cases that are not selected.

    A metric that all its cases share has its own digest; one whose arguments differ from case to
    case has none here, because each case's digest covers them.
    """
    infos: dict[str, MetricInfo] = {}
    for case in cases:
        for scorer in applicable_scorers(case, specs[case.id], opened):
            info = infos.setdefault(scorer.info.name, scorer.info)
            if info.digest != scorer.info.digest:
                infos[info.name] = replace(info, digest="")
    return tuple(infos.values())
