"""Say which offline metrics predict what users of the deployed versions saw, and which thresholds matter.

The versions are the sample. A version is joined with its stored runs by the version that its requests name,
or by the commit that this begins with.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Literal, TypeAlias

from evalkit.compare.history import HistoryResult, HistoryRow
from evalkit.core.literals import Outcome
from evalkit.gate.outcome import SEVERITY
from evalkit.traffic.measures import Measure
from evalkit.traffic.version_outcomes import Outcomes

ALPHA = 0.05

MIN_VERSIONS = 5
"""With fewer, a metric that predicts nothing orders all versions right too often: 1 time in 24 with four,
and several metrics are looked at."""

MIN_RUNS = 10
"""With fewer gate results, a threshold that never decided may just not have had the occasion."""

_COMMIT = re.compile(r"[0-9a-f]{7,40}")

Prediction: TypeAlias = Literal["predicts", "misleads", "unproven", "too few versions", "constant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployedVersion:
    """A version with its production outcome: the rate over `requests` of `users`; and its runs' metrics."""

    version: str
    rate: float
    requests: float
    users: int
    runs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricValidity:
    """How well a metric's mean predicts the outcome.

    `auc` is the probability that of a user with the good outcome and one without it, of different versions, the
    first one had the version with the better mean; 0.5 if the metric says nothing. `low` and `high` bound
    its 90 % interval for these versions. `p_value` is the probability of an AUC this high (for `misleads`,
    this low) if the means had been given to the versions at random.
    """

    metric: str
    versions: int
    finding: Prediction
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdUse:
    """What a threshold did in the stored runs of the set.

    `outcomes` counts its outcomes. In `decided` runs the result would have been another one without it.
    `deployed` are the versions that went to production although it failed.
    """

    name: str
    kind: str
    allowed: float | None
    runs: int
    outcomes: Mapping[Outcome, int]
    decided: int
    deployed: tuple[str, ...] = ()

    @property
    def never_mattered(self) -> bool | None:
        """Whether no result would have been another one without it; None with too few runs to say so."""
        if self.decided:
            return False
        return True if self.runs >= MIN_RUNS else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """Whether the gate of a set is worth it, by one production outcome."""

    evalset: str
    outcome: str
    title: str
    versions: tuple[DeployedVersion, ...]
    metrics: tuple[MetricValidity, ...]
    thresholds: tuple[ThresholdUse, ...]
    notes: tuple[str, ...] = ()


def validate_gate(
    evalset: str, measure: Measure, rows: Sequence[HistoryRow], outcomes: Outcomes
) -> Validation:
    """Join the stored runs of a set with the outcomes of the versions that they are of."""
    by_version = {
        version: [row for row in rows if is_of_version(row, version)]
        for version in outcomes.versions
    }
    deployed = tuple(
        _describe_version(each, outcomes, by_version[each]) for each in outcomes.versions
    )
    names = list(dict.fromkeys(name for each in deployed for name in each.metrics))
    higher = {m.metric: m.higher_is_better for row in rows for m in row.metrics}
    return Validation(
        evalset=evalset,
        outcome=measure.name,
        title=measure.meaning,
        versions=deployed,
        metrics=tuple(_judge_metrics(names, higher, deployed, outcomes)),
        thresholds=tuple(_list_thresholds(rows, by_version)),
        notes=tuple(_note(rows, by_version)),
    )


def is_of_version(row: HistoryRow, version: str) -> bool:
    """Return whether a run is of a version: that of its agent, or the beginning of its commit."""
    if row.version == version:
        return True
    is_commit = _COMMIT.fullmatch(version) is not None and bool(row.commit) and not row.dirty
    return is_commit and row.commit.startswith(version)


def _describe_version(
    version: str, outcomes: Outcomes, rows: Sequence[HistoryRow]
) -> DeployedVersion:
    column = outcomes.versions.index(version)
    good, bad = (float(each[:, column].sum()) for each in (outcomes.good, outcomes.bad))
    users = int(((outcomes.good + outcomes.bad)[:, column] > 0).sum())
    whole = [row for row in rows if not row.selection]
    values: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for metric in (metric for row in whole for metric in row.metrics if metric.tag is None):
        if metric.mean is not None and metric.scored:
            values[metric.metric].append((metric.mean, metric.scored))
    return DeployedVersion(
        version=version,
        rate=good / (good + bad),
        requests=good + bad,
        users=users,
        runs=len(whole),
        metrics={
            name: fsum(mean * count for mean, count in found) / sum(count for _, count in found)
            for name, found in values.items()
        },
    )


def _judge_metrics(
    names: Sequence[str],
    higher: Mapping[str, bool],
    deployed: Sequence[DeployedVersion],
    outcomes: Outcomes,
) -> Iterator[MetricValidity]:
    """Yield what each metric predicts; all metrics share alpha (Bonferroni), in both directions."""
    import numpy as np  # noqa: PLC0415 - it takes long to load

    from evalkit.stats.concordance import (  # noqa: PLC0415
        estimate_concordance,
        permute_concordance,
    )

    level = ALPHA / max(1, len(names))
    for name in names:
        columns = [index for index, each in enumerate(deployed) if name in each.metrics]
        sign = 1.0 if higher.get(name, True) else -1.0
        scores = sign * np.array([deployed[index].metrics[name] for index in columns])
        good, bad = outcomes.good[:, columns], outcomes.bad[:, columns]
        found = estimate_concordance(good, bad, scores, ALPHA)
        if found is None or len(columns) < 2:
            yield MetricValidity(metric=name, versions=len(columns), finding="too few versions")
            continue
        totals = good.sum(axis=0), bad.sum(axis=0)
        above = permute_concordance(*totals, scores)
        below = permute_concordance(*totals, -scores)
        finding: Prediction = "unproven"
        if np.ptp(scores) == 0:
            finding = "constant"
        elif len(columns) < MIN_VERSIONS:
            finding = "too few versions"
        elif above <= level:
            finding = "predicts"
        elif below <= level:
            finding = "misleads"
        yield MetricValidity(
            metric=name,
            versions=len(columns),
            finding=finding,
            auc=found.auc,
            low=found.bounds.low,
            high=found.bounds.high,
            p_value=min(above, below),
        )


def _list_thresholds(
    rows: Sequence[HistoryRow], by_version: Mapping[str, Sequence[HistoryRow]]
) -> Iterator[ThresholdUse]:
    """Yield the thresholds of all results; a threshold with another limit is another one."""
    uses: dict[tuple[str, str, float | None], list[tuple[HistoryRow, Outcome, bool]]] = defaultdict(
        list
    )
    for row in rows:
        for number, each in enumerate(row.result.thresholds if row.result else ()):
            if row.result is not None and not each.advisory:
                decides = _decides(row.result, number)
                uses[each.name, each.kind, each.allowed].append((row, each.outcome, decides))
    versions = {row.id: version for version, found in by_version.items() for row in found}
    for (name, kind, allowed), found in uses.items():
        failed = [row.id for row, outcome, _ in found if outcome == "fail"]
        outcomes = [outcome for _, outcome, _ in found]
        yield ThresholdUse(
            name=name,
            kind=kind,
            allowed=allowed,
            runs=len(found),
            outcomes={each: outcomes.count(each) for each in SEVERITY if each in outcomes},
            decided=sum(decides for _, _, decides in found),
            deployed=tuple(dict.fromkeys(versions[run] for run in failed if run in versions)),
        )


def _decides(result: HistoryResult, number: int) -> bool:
    """Return whether the result would be another one without a threshold."""
    enforced = [(index, t.outcome) for index, t in enumerate(result.thresholds) if not t.advisory]
    worst = min((SEVERITY.index(outcome) for _, outcome in enforced), default=len(SEVERITY))
    others = [SEVERITY.index(outcome) for index, outcome in enforced if index != number]
    return SEVERITY[worst] != "pass" and min(others, default=len(SEVERITY)) > worst


def _note(
    rows: Sequence[HistoryRow], by_version: Mapping[str, Sequence[HistoryRow]]
) -> Iterator[str]:
    unknown = [version for version, found in by_version.items() if not found]
    if unknown:
        known = dict.fromkeys(row.version for row in reversed(rows))
        yield (
            f"No stored run is of {', '.join(unknown[:5])}{' and others' * (len(unknown) > 5)}. Stored runs are "
            f"of {', '.join(list(known)[:5])}."
        )
    used = {row.definition for found in by_version.values() for row in found if row.definition}
    if len(used) > 1:
        yield (
            f"The runs of these versions had {len(used)} different definitions of cases, metrics, and thresholds, so "
            f"their means differ for other reasons too. Run the set again for old versions: evalkit run --against"
        )
