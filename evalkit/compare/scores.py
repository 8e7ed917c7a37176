"""A run's trials into the usable values of every metric, case by case, with what is missing and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.core.eval_set import Case
from evalkit.core.literals import TrialState
from evalkit.core.run import MetricInfo, Run, RunHeader
from evalkit.core.trial import Score, Trial

MAX_VALUE = 1e100
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

    `trials` holds, for every selected case, its trials by number, None where one has not been run;
    `states` the state each of them is counted in. `scores` holds, by metric and then by case id, what
    the cases that are due the metric got, in the order of the run. `fresh` holds the trials of cases
    that were run again; nothing else here knows of them.
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
        """The trials of a case that are completely scored; none of a case that was not selected."""
        row = zip(self.trials.get(case_id, ()), self.states.get(case_id, ()), strict=True)
        return [trial for trial, state in row if trial is not None and state == "scored"]

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag of a selected case, in order of first appearance."""
        return tuple(dict.fromkeys(tag for case in self.header.cases for tag in case.tags))


def is_usable(score: Score) -> bool:
    """Whether a score has a value that may enter a mean; NaN and the like of infinity may not."""
    return score.state == "scored" and score.value is not None and abs(score.value) <= MAX_VALUE


def trial_state(trial: Trial | None) -> TrialState:
    """The one state a selected trial is counted in; a score without a usable value is an error."""
    if trial is None:
        return "not_run"
    state = trial.state
    if state == "scored":
        shown = (score for score in trial.scores if score.state == "scored")
        return "scored" if all(map(is_usable, shown)) else "metric_error"
    return state


def _index_trials(
    due: Mapping[str, int], trials: Iterable[Trial], first: int = 0
) -> dict[str, tuple[Trial | None, ...]]:
    slots: dict[str, list[Trial | None]] = {
        case_id: [None] * count for case_id, count in due.items()
    }
    for trial in trials:
        row = slots.get(trial.case_id, [])
        index = trial.number - first
        if 0 <= index < len(row) and row[index] is None:
            row[index] = trial
    return {case_id: tuple(row) for case_id, row in slots.items()}


def _due_metrics(found: Sequence[Mapping[str, Score]], metrics: Iterable[str]) -> Iterable[str]:
    """The metrics that apply to a case: those its trials name; all, when no trial got that far."""
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
    row: Sequence[tuple[Trial | None, Mapping[str, Score]]], metric: str
) -> CaseScores:
    values: list[float] = []
    flags: list[float] = []
    missing: Counter[str] = Counter()
    for trial, scores in row:
        score = scores.get(metric)
        if score is None or score.value is None or not is_usable(score):
            missing[_missing_reason(trial, score)] += 1
            continue
        values.append(float(score.value))
        if score.passed is not None:
            flags.append(float(score.passed))
    del missing["skipped"]
    return CaseScores(values=tuple(values), flags=tuple(flags), missing=dict(missing))


def _scores_by_name(trial: Trial | None) -> dict[str, Score]:
    """What a trial was scored; nothing, when the agent gave no output to be scored."""
    if trial is None or trial.output.error is not None:
        return {}
    return {score.metric: score for score in trial.scores}


def build_score_table(run: Run) -> ScoreTable:
    """Read a run's trials once; trials that the run did not select are left out."""
    header = run.header
    trials = _index_trials({case.id: header.trials for case in header.cases}, run.trials)
    names = [info.name for info in run.header.metrics]
    scores: dict[str, dict[str, CaseScores]] = {name: {} for name in names}
    for case_id, row in trials.items():
        found = [(trial, _scores_by_name(trial)) for trial in row]
        for metric in _due_metrics([by_name for _, by_name in found], names):
            scores.setdefault(metric, {})[case_id] = _collect_scores(found, metric)
    return ScoreTable(
        header=run.header,
        trials=trials,
        states={case_id: tuple(map(trial_state, row)) for case_id, row in trials.items()},
        scores=scores,
        fresh=_index_trials(header.fresh, run.fresh, first=header.trials),
    )


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
