"""Collect the usable values of every metric from a run's trials, and count the missing ones."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.core.eval_set import Case
from evalkit.core.literals import TrialState
from evalkit.core.run import MetricInfo, Run, RunHeader
from evalkit.core.trial import Score, Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseScores:
    """The values of one metric on the trials of one case.

    `values` are finite and in the order of the trials. `flags` are 1.0 for passed and 0.0 for failed; a
    measurement has none. `missing` counts by reason the trials that should have a value and have none.
    `cluster` is that of the case.
    """

    values: tuple[float, ...] = ()
    flags: tuple[float, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    cluster: str | None = None

    @property
    def due(self) -> int:
        """The number of trials that have a value or should have one."""
        return len(self.values) + sum(self.missing.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreTable:
    """Everything that a run measured.

    `trials` has the trials of every selected case by number, None for a trial that was not run. `states`
    has the state of each of them. `scores` has the scores by metric and then by case id, for the cases
    that the metric applies to, in the order of the run. `fresh` has the fresh trials of cases that were
    run again; the other fields do not include them.
    """

    header: RunHeader
    trials: Mapping[str, tuple[Trial | None, ...]]
    states: Mapping[str, tuple[TrialState, ...]]
    scores: Mapping[str, Mapping[str, CaseScores]]
    fresh: Mapping[str, tuple[Trial | None, ...]] = field(default_factory=dict)

    @property
    def cases(self) -> dict[str, Case]:
        """The selected cases by id."""
        return {case.id: case for case in self.header.cases}

    @property
    def infos(self) -> dict[str, MetricInfo]:
        """The run's metrics by name."""
        return {info.name: info for info in self.header.metrics}

    def scored_trials(self, case_id: str) -> list[Trial]:
        """Return the completely scored trials of a case; none for a case that was not selected."""
        row = zip(self.trials.get(case_id, ()), self.states.get(case_id, ()), strict=True)
        return [trial for trial, state in row if trial is not None and state == "scored"]

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag of a selected case, in order of first appearance."""
        return tuple(dict.fromkeys(tag for case in self.header.cases for tag in case.tags))


def trial_state(trial: Trial | None) -> TrialState:
    """Return the state of a selected trial; None is one that was not run."""
    return "not_run" if trial is None else trial.state


def _index_trials(
    due: Mapping[str, int], trials: Iterable[Trial], first: int = 0
) -> dict[str, tuple[Trial | None, ...]]:
    slots: dict[str, list[Trial | None]] = {
        case_id: [None] * count for case_id, count in due.items()
    }
    for trial in trials:
        row = slots.get(trial.case_id, [])
        index = trial.number - first
        # Ignore unknown numbers and duplicates, which would give a case more weight.
        if 0 <= index < len(row) and row[index] is None:
            row[index] = trial
    return {case_id: tuple(row) for case_id, row in slots.items()}


def _due_metrics(found: Sequence[Mapping[str, Score]], metrics: Iterable[str]) -> Iterable[str]:
    """Return the metrics that apply to a case: those that scored its trials; all if no trial was scored."""
    if not any(found):
        return metrics
    named = (score for scores in found for score in scores.values())
    return dict.fromkeys(score.metric for score in named if score.state != "skipped")


def _missing_reason(trial: Trial | None, score: Score | None) -> str:
    if trial is None:
        return "not_run"
    if trial.output.error is not None:
        return "agent_error"
    if score is None:
        return "unscored"
    return "metric_error" if score.state == "scored" else score.state


def _collect_scores(
    row: Sequence[tuple[Trial | None, Mapping[str, Score]]], metric: str, cluster: str | None
) -> CaseScores:
    values: list[float] = []
    flags: list[float] = []
    missing: Counter[str] = Counter()
    for trial, scores in row:
        score = scores.get(metric)
        if score is None or score.value is None or not score.is_usable:
            missing[_missing_reason(trial, score)] += 1
            continue
        values.append(float(score.value))
        if score.passed is not None:
            flags.append(float(score.passed))
    # A skipped metric does not apply to the trial, so no value is missing.
    del missing["skipped"]
    return CaseScores(
        values=tuple(values), flags=tuple(flags), missing=dict(missing), cluster=cluster
    )


def _scores_by_name(trial: Trial | None) -> dict[str, Score]:
    if trial is None or trial.output.error is not None:
        return {}
    return {score.metric: score for score in trial.scores}


def build_score_table(run: Run) -> ScoreTable:
    """Return a run's scores as a table, without trials that the run did not select."""
    header = run.header
    trials = _index_trials({case.id: header.trials for case in header.cases}, run.trials)
    names = [info.name for info in header.metrics]
    clusters = {case.id: case.cluster for case in header.cases}
    scores: dict[str, dict[str, CaseScores]] = {name: {} for name in names}
    for case_id, row in trials.items():
        found = [(trial, _scores_by_name(trial)) for trial in row]
        for metric in _due_metrics([by_name for _, by_name in found], names):
            scores.setdefault(metric, {})[case_id] = _collect_scores(
                found, metric, clusters[case_id]
            )
    return ScoreTable(
        header=header,
        trials=trials,
        states={case_id: tuple(map(trial_state, row)) for case_id, row in trials.items()},
        scores=scores,
        fresh=_index_trials(header.fresh, run.fresh, first=header.trials),
    )


def group_by_cluster(clusters: Iterable[str | None]) -> list[list[int]]:
    """Return the indices of cases by cluster; a case without a cluster is a cluster of its own."""
    groups: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    for index, cluster in enumerate(clusters):
        groups[("alone", index) if cluster is None else ("cluster", cluster)].append(index)
    return list(groups.values())


def sum_missing(cases: Iterable[CaseScores]) -> dict[str, int]:
    """Return the number of missing values of all cases by reason."""
    missing: Counter[str] = Counter()
    for case in cases:
        missing.update(case.missing)
    return dict(missing)


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value. It does not depend on the order of the values."""
    # A plain sum of floats depends on their order; fsum does not.
    numbers = tuple(values)
    if len(numbers) == 1:
        return float(numbers[0])
    return math.fsum(numbers) / len(numbers)


def quantile(values: Sequence[float], level: float) -> float:
    """Return a quantile of at least one value by linear interpolation (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    below, share = divmod(level * (len(ordered) - 1), 1)
    low = ordered[int(below)]
    high = ordered[min(int(below) + 1, len(ordered) - 1)]
    return low + share * (high - low)
