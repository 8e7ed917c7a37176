"""A run's trials into the usable values of every metric, case by case, with what is missing and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.records import Case, MetricInfo, Run, RunHeader, Score, Trial, TrialState

LARGEST = 1e100
"""The largest size of a value: what is larger overflows when it is squared and summed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseScores:
    """What one metric gave on the trials of one case.

    `values` are finite and in order of trial. `flags` are 1.0 and 0.0 for passed and failed; a value
    of a measurement has none. `missing` counts the other trials that were due a value, by reason.
    """

    values: tuple[float, ...] = ()
    flags: tuple[float, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def due(self) -> int:
        """Trials that have a value or should have one."""
        return len(self.values) + sum(self.missing.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreTable:
    """Everything a run measured, read once.

    `trials` holds, for every selected case, its trials by number, None where one has not been run.
    `scores` holds, by metric and then by case id, the cases that are due the metric, in the order of
    the run.
    """

    header: RunHeader
    trials: Mapping[str, tuple[Trial | None, ...]]
    scores: Mapping[str, Mapping[str, CaseScores]]

    @property
    def cases(self) -> dict[str, Case]:
        """The selected cases by id."""
        return {case.id: case for case in self.header.cases}

    @property
    def infos(self) -> dict[str, MetricInfo]:
        """The run's metrics by name."""
        return {info.name: info for info in self.header.metrics}

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag of a selected case, in order of first appearance."""
        return tuple(dict.fromkeys(tag for case in self.header.cases for tag in case.tags))


def is_usable(score: Score) -> bool:
    """Whether a score has a value that may enter a mean; NaN and the like of infinity may not."""
    return score.state == "scored" and score.value is not None and abs(score.value) <= LARGEST


def trial_state(trial: Trial | None) -> TrialState:
    """The one state a selected trial is counted in; a score without a usable value is an error."""
    if trial is None:
        return "not_run"
    state = trial.state
    if state == "scored":
        shown = (score for score in trial.scores if score.state == "scored")
        return "scored" if all(map(is_usable, shown)) else "metric_error"
    return state


def _place_trials(run: Run) -> dict[str, tuple[Trial | None, ...]]:
    slots: dict[str, list[Trial | None]] = {
        case.id: [None] * run.header.trials for case in run.header.cases
    }
    for trial in run.trials:
        row = slots.get(trial.case_id, [])
        if 0 <= trial.number < len(row) and row[trial.number] is None:
            row[trial.number] = trial
    return {case_id: tuple(row) for case_id, row in slots.items()}


def _due_metrics(trials: Sequence[Trial | None], metrics: Sequence[str]) -> list[str]:
    """The metrics that apply to a case: those its trials name; all, when no trial got that far."""
    told = [score for trial in trials if trial is not None for score in trial.scores]
    if not told:
        return list(metrics)
    return list(dict.fromkeys(score.metric for score in told if score.state != "skipped"))


def _why_missing(trial: Trial | None, score: Score | None) -> str:
    if trial is None:
        return "not_run"
    if trial.output.error is not None:
        return "agent_error"
    if score is None:
        return "unscored"
    if score.state != "scored":
        return score.state
    return "" if is_usable(score) else "metric_error"


def _collect(trials: Iterable[Trial | None], metric: str) -> CaseScores:
    values: list[float] = []
    flags: list[float] = []
    missing: Counter[str] = Counter()
    for trial in trials:
        scores = trial.scores if trial is not None else ()
        score = next((score for score in scores if score.metric == metric), None)
        reason = _why_missing(trial, score)
        if reason:
            missing[reason] += 1
        elif score is not None and score.value is not None:
            values.append(float(score.value))
            if score.passed is not None:
                flags.append(float(score.passed))
    del missing["skipped"]
    return CaseScores(values=tuple(values), flags=tuple(flags), missing=dict(missing))


def tabulate(run: Run) -> ScoreTable:
    """Read a run's trials once; trials that the run did not select are left out."""
    trials = _place_trials(run)
    names = [info.name for info in run.header.metrics]
    scores: dict[str, dict[str, CaseScores]] = {name: {} for name in names}
    for case_id, row in trials.items():
        for metric in _due_metrics(row, names):
            scores.setdefault(metric, {})[case_id] = _collect(row, metric)
    return ScoreTable(header=run.header, trials=trials, scores=scores)


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value, exactly rounded and so independent of their order."""
    numbers = tuple(values)
    return math.fsum(numbers) / len(numbers)


def quantile(values: Sequence[float], level: float) -> float:
    """Quantile of at least one value with linear interpolation (type 7 of Hyndman and Fan 1996)."""
    ordered = sorted(values)
    below, share = divmod(level * (len(ordered) - 1), 1)
    low = ordered[int(below)]
    high = ordered[min(int(below) + 1, len(ordered) - 1)]
    return low + share * (high - low)
