"""Decide the status of every case from its trials in one run and, if there is one, in the baseline.

Every report takes the status from here, so no two of them can name it differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange, MetricPasses
from evalkit.core.literals import CaseStatus, TrialState
from evalkit.core.trial import Trial
from evalkit.stats.power import LEANING_ALPHA

ERROR_STATES: tuple[TrialState, ...] = ("agent_error", "judge_error", "metric_error", "unscored")
"""The states of a trial that was run and is not completely scored."""


class PassCount(NamedTuple):
    """How many of the scored trials of a case passed."""

    passed: int
    trials: int

    @property
    def passes(self) -> bool:
        """Whether the case passes: more than half of its trials do, so half is not enough."""
        return 2 * self.passed > self.trials

    @property
    def fails(self) -> bool:
        """Whether the case fails; a case without a scored trial does neither."""
        return self.trials > 0 and not self.passes

    @property
    def is_mixed(self) -> bool:
        """Whether the trials disagree."""
        return 0 < self.passed < self.trials

    def inverted(self) -> PassCount:
        """Return the failures as passes."""
        return PassCount(self.trials - self.passed, self.trials)


def describe_case(
    case: Case, row: Sequence[Trial | None], *, is_edited: bool = False
) -> CaseChange:
    """Return the status of a case that is not compared; None in `row` is a trial that was not run."""
    own = _count_passes(_scored(row))
    return CaseChange(
        case_id=case.id,
        status=_decide_status(_list_states(row), own),
        origin="edited" if is_edited else "added",
        flaky=own.is_mixed,
        passed=own.passed,
        trials=own.trials,
        passed_all=own.passed,
    )


def describe_removed_case(case: Case, before: Sequence[Trial]) -> CaseChange:
    """Return a case of the baseline that the run's set does not have; `before` are its scored trials."""
    base = _count_passes(before)
    return CaseChange(
        case_id=case.id,
        status="removed",
        origin="removed",
        flaky=base.is_mixed,
        base_passed=base.passed,
        base_trials=base.trials,
    )


def compare_case_trials(
    case: Case, before: Sequence[Trial], row: Sequence[Trial | None], metrics: Sequence[str]
) -> CaseChange:
    """Return the status of a case that is the same in run and baseline.

    Args:
        case: the case.
        before: its completely scored trials in the baseline.
        row: its planned trials in the run, None for one that was not run.
        metrics: the metrics that both define in the same way; only these can be compared.
    """
    if not (before and metrics):
        return replace(describe_case(case, row), origin="shared")
    after = _scored(row)
    base, now = _count_passes(before, metrics), _count_passes(after, metrics)
    own = _count_passes(after)
    newly_fails = base.passes and now.fails
    regressed = newly_fails and _exceeds_flakiness(base, now)
    # A metric that always fails, such as a new strict one, must not hide the regression of another.
    hit = None if regressed else _find_failing_metric(before, after, metrics)
    if hit is not None:
        regressed = _exceeds_flakiness(*_counts_of(hit))
    states = _list_states(row)
    return CaseChange(
        case_id=case.id,
        status="regressed" if regressed else _decide_status(states, own, base, now),
        flaky=base.is_mixed or own.is_mixed,
        score_changed=_is_out_of_range(before, after, metrics),
        newly_failing=newly_fails or hit is not None,
        base_passed=base.passed,
        base_trials=base.trials,
        passed=now.passed,
        trials=now.trials,
        passed_all=own.passed,
        on_metric=hit if regressed or not newly_fails else None,
    )


def _decide_status(
    states: Sequence[TrialState],
    own: PassCount,
    base: PassCount | None = None,
    now: PassCount | None = None,
) -> CaseStatus:
    """Return the status of a case that did not regress.

    Args:
        states: the states of its planned trials.
        own: its passes by all metrics of the run.
        base: its passes in the baseline by the metrics that can be compared; None if none can.
        now: its passes in the run by the same metrics.
    """
    if any(state in ERROR_STATES for state in states):
        return "error"
    if "not_run" in states:
        return "not_run"
    if not own.trials:
        return "not_scored"
    if base is None or now is None:
        return "failing" if own.fails else "flaky" if own.is_mixed else "passed"
    if own.fails and now.passes:
        return "failing"  # by a metric that the baseline lacks
    if own.passes and base.fails and _exceeds_flakiness(base.inverted(), now.inverted()):
        return "fixed"
    if base.is_mixed or own.is_mixed:
        return "flaky"
    return "still_failing" if own.fails else "passed"


def _exceeds_flakiness(base: PassCount, now: PassCount) -> bool:
    """Return whether a case that passed and now fails does so more often than its baseline explains.

    If all baseline trials passed, it does. If they disagreed, Fisher's exact test of this case decides, at
    the level at which data suggest harm: 9/10 -> 0/1 exceeds it, 8/10 -> 0/1 does not.
    """
    if not base.is_mixed:
        return True
    # Imported here, because numpy takes 100 ms to load and most cases do not need it.
    from evalkit.stats.multiplicity import compare_case  # noqa: PLC0415

    return compare_case(*base, *now).p_value <= LEANING_ALPHA


def _find_failing_metric(
    before: Sequence[Trial], after: Sequence[Trial], metrics: Sequence[str]
) -> MetricPasses | None:
    """Return a metric that passed in the baseline and fails now, by preference one that regressed."""
    found = None
    for metric in metrics:
        base, now = _count_passes(before, [metric]), _count_passes(after, [metric])
        if base.passes and now.fails:
            hit = MetricPasses(metric, *base, *now)
            if _exceeds_flakiness(base, now):
                return hit
            found = found or hit
    return found


def _counts_of(hit: MetricPasses) -> tuple[PassCount, PassCount]:
    return PassCount(hit.base_passed, hit.base_trials), PassCount(hit.passed, hit.trials)


def _list_states(row: Iterable[Trial | None]) -> list[TrialState]:
    return ["not_run" if trial is None else trial.state for trial in row]


def _scored(row: Iterable[Trial | None]) -> list[Trial]:
    return [trial for trial in row if trial is not None and trial.state == "scored"]


def _count_passes(trials: Sequence[Trial], metrics: Sequence[str] | None = None) -> PassCount:
    """Count the passes of scored trials, by these metrics or by all that are not advisory."""
    return PassCount(sum(not trial.fails(metrics) for trial in trials), len(trials))


def _pass_fail_values(trials: Iterable[Trial], metric: str) -> list[float]:
    """Return the values of scores that passed or failed. Measurements differ in every trial anyway."""
    return [
        score.value
        for trial in trials
        for score in trial.scores
        if score.metric == metric and score.passed is not None and score.is_usable
        if score.value is not None
    ]


def _is_out_of_range(
    before: Sequence[Trial], after: Sequence[Trial], metrics: Sequence[str]
) -> bool:
    """Return whether the mean of any metric is outside the range of the baseline's values for the case."""
    for metric in metrics:
        old, new = _pass_fail_values(before, metric), _pass_fail_values(after, metric)
        if old and new and not min(old) <= fmean(new) <= max(old):
            return True
    return False
