"""Open the metrics of an eval set and find everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.eval_set import EvalSet
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.evalset.base_version import BaseVersion
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.registry import check_judges
from evalkit.metrics.scorers import Scorer, spec_digest
from evalkit.metrics.specs import open_scorers
from evalkit.runner.case_metrics import effective_metrics
from evalkit.runner.checks import (
    find_failure_problems,
    find_limit_problems,
    find_pairwise_problems,
    find_reference_problems,
    find_scoring_problems,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """The scorers that apply to each case, by case id, and what is wrong with them."""

    scorers: Mapping[str, tuple[Scorer, ...]]
    metrics: tuple[MetricInfo, ...] = ()
    problems: tuple[Problem, ...] = ()


async def open_scoring(
    evalset: EvalSet, environment: RunEnvironment, panel: JudgePanel, stack: AsyncExitStack
) -> Scoring:
    """Open a set's metrics until `stack` closes, and check the set against them."""
    specs = {case.id: effective_metrics(evalset, case) for case in evalset.cases}
    wrong = tuple(check_judges(evalset.judges, environment))
    named = [*evalset.metrics, *(spec for case_specs in specs.values() for spec in case_specs)]
    # Reversed, so that the first of equal specs is kept: problems are reported at its location.
    distinct = tuple({spec_digest(spec): spec for spec in reversed(named)}.values())
    try:
        opened = await stack.enter_async_context(open_scorers(distinct, environment, panel))
    except InvalidInput as error:
        return Scoring(scorers={}, problems=(*wrong, *error.problems))
    scorers = {
        case.id: tuple(
            scorer
            for scorer in (opened[spec_digest(spec)] for spec in specs[case.id])
            if scorer.applies_to(case)
        )
        for case in evalset.cases
    }
    shared = {spec.name: opened[spec_digest(spec)] for spec in evalset.metrics}
    return Scoring(
        scorers=scorers,
        metrics=_describe_metrics(scorers),
        problems=(
            *wrong,
            *find_scoring_problems(evalset, scorers, tuple(opened.values()), shared),
            *find_failure_problems(evalset, scorers),
            *find_reference_problems(evalset, specs),
            *find_limit_problems(evalset, opened.values()),
            *find_pairwise_problems(evalset, opened.values()),
        ),
    )


def _describe_metrics(scorers: Mapping[str, Sequence[Scorer]]) -> tuple[MetricInfo, ...]:
    """Return every metric of a set by name, including those of cases that are not selected.

    A metric whose arguments differ from case to case has no digest here: each case's digest covers
    its own arguments.
    """
    infos: dict[str, MetricInfo] = {}
    for info in (scorer.info for row in scorers.values() for scorer in row):
        if infos.setdefault(info.name, info).digest != info.digest:
            infos[info.name] = replace(infos[info.name], digest="")
    return tuple(infos.values())


async def open_base_scoring(
    base: BaseVersion,
    own: Scoring,
    environment: RunEnvironment,
    panel: JudgePanel,
    stack: AsyncExitStack,
) -> Scoring:
    """Open the base's metrics for the base's cases, and the change's own for the cases that it adds.

    Raises:
        ApprovalNeeded: the base's metrics can no longer be used.
    """
    found = await open_scoring(base.evalset, base.adapt_environment(environment), panel, stack)
    if found.problems:
        details = "\n".join(map(str, found.problems))
        raise ApprovalNeeded(
            f"the gate at {base.name} can no longer be applied. If this change is meant to fix "
            f"that, approve it with --accept-gate-changes. Problems there:\n{details}"
        )
    names = {info.name for info in found.metrics}
    return Scoring(
        scorers={**own.scorers, **found.scorers},
        metrics=(*found.metrics, *(info for info in own.metrics if info.name not in names)),
    )
