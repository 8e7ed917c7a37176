"""Estimate from a judged sample what all of traffic would score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from evalkit.compare.scores import mean
from evalkit.core.run import Run
from evalkit.stats.sampled_mean import SampledMean, SampledUnits, estimate_sampled_mean
from evalkit.traffic.sample_table import StoredRequest

ALPHA = 0.05
"""Each bound of an interval is wrong with this probability at most, so that it is a 90% interval."""


MIN_LABELED = 5
"""With fewer labeled answers, an interval says nothing."""

HumanScores: TypeAlias = Mapping[str, Mapping[str, float]]
"""The scores that people gave, by metric and then by case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StratumScores:
    """The judged answers of a stratum: their number, their mean, and the share of sessions drawn."""

    name: str
    judged: int
    mean: float | None
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleMean:
    """The mean that people would give to traffic, estimated from `labeled` answers alone."""

    labeled: int
    estimate: SampledMean


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficMean:
    """The estimated mean of a metric in traffic, and the plain mean of the sample.

    `unscored` answers have no verdict; they count as if they were like the others.
    """

    metric: str
    judge: str
    higher_is_better: bool
    judged: int
    unscored: int
    sessions: int
    estimate: SampledMean
    sample_mean: float
    strata: tuple[StratumScores, ...]
    people: PeopleMean | None = None


def estimate_means(
    run: Run, stored: Sequence[StoredRequest], human: HumanScores = MappingProxyType({})
) -> tuple[TrafficMean, ...]:
    """Return the estimated mean of each metric without a unit that has scores, in the order of the run.

    `stored` are all requests of the sample, also those without an answer: a session without any is part of
    the sample. A request counts for as many as its source had, if that kept only some. `human` are the scores
    of the answers that people labeled after they were drawn at random from those of the run.
    """
    requests = {str(case.provenance.get("request")): case.id for case in run.header.cases}
    found = []
    for info in run.header.metrics:
        if info.unit or info.is_pairwise:
            continue
        scores = _collect_scores(run, info.name)
        values = {
            each.request_id: mean(scores[case_id])
            for each in stored
            if (case_id := requests.get(each.request_id)) is not None and scores.get(case_id)
        }
        if not values:
            continue
        judged = {requests[request] for request in values}
        found.append(
            TrafficMean(
                metric=info.name,
                judge=info.judge,
                higher_is_better=info.higher_is_better,
                judged=len(values),
                unscored=len(_find_unscored(run, info.name) - judged),
                sessions=len({each.unit for each in stored if each.request_id in values}),
                estimate=estimate_sampled_mean(_sum_units(stored, values), ALPHA),
                sample_mean=mean(list(values.values())),
                strata=_summarize_strata(stored, values),
                people=_estimate_people(stored, values, requests, human.get(info.name, {})),
            )
        )
    return tuple(found)


def _estimate_people(
    stored: Sequence[StoredRequest],
    judged: Mapping[str, float],
    requests: Mapping[str, str],
    human: Mapping[str, float],
) -> PeopleMean | None:
    """Return the mean from labels alone: a random part of the judged answers, and so of traffic."""
    values = {request: human[requests[request]] for request in judged if requests[request] in human}
    if len(values) < MIN_LABELED:
        return None
    share = len(values) / len(judged)
    part = [each._replace(pi=each.pi * share) for each in stored]
    estimate = estimate_sampled_mean(_sum_units(part, values), ALPHA)
    return PeopleMean(labeled=len(values), estimate=estimate)


def _collect_scores(run: Run, metric: str) -> Mapping[str, list[float]]:
    scores: dict[str, list[float]] = defaultdict(list)
    for trial in run.trials:
        for score in trial.scores:
            if score.metric == metric and score.is_usable and score.value is not None:
                scores[trial.case_id].append(score.value)
    return scores


def _find_unscored(run: Run, metric: str) -> Set[str]:
    """Return the cases that the metric applies to and gave no score."""
    return {
        trial.case_id
        for trial in run.trials
        for score in trial.scores
        if score.metric == metric and score.state not in ("scored", "skipped")
    }


def _sum_units(stored: Sequence[StoredRequest], values: Mapping[str, float]) -> SampledUnits:
    units: dict[str, list[float]] = {}
    strata = sorted({each.stratum for each in stored})
    for each in stored:
        sums = units.setdefault(each.unit, [0.0, 0.0, strata.index(each.stratum), each.pi])
        if each.request_id in values:
            weight = 1 / each.kept if each.kept else 1.0
            sums[0] += weight * values[each.request_id]
            sums[1] += weight
    table = np.array(list(units.values()))
    return SampledUnits(table[:, 0], table[:, 1], table[:, 2].astype(np.int64), table[:, 3])


def _summarize_strata(
    stored: Sequence[StoredRequest], values: Mapping[str, float]
) -> tuple[StratumScores, ...]:
    chances = {each.stratum: each.pi for each in stored}
    found = []
    for name, chance in sorted(chances.items(), key=lambda pair: -pair[1]):
        inside = [
            values[each.request_id]
            for each in stored
            if each.stratum == name and each.request_id in values
        ]
        found.append(
            StratumScores(
                name=name,
                judged=len(inside),
                mean=mean(inside) if inside else None,
                chance=chance,
            )
        )
    return tuple(found)
