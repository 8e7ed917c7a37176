"""Decide the status of every case from its trials in one run and, if there is one, in the baseline.

Every report takes the status from here, so no two of them can name it differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from evalkit.compare.scores import ScoreTable, mean, trial_state
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange, MetricPasses
from evalkit.core.literals import CaseStatus, TrialState
from evalkit.core.trial import Trial

ERROR_STATES: tuple[TrialState, ...] = ("agent_error", "judge_error", "metric_error", "unscored")
"""The states of a trial that was run and is not completely scored."""

CASE_ALPHA = 0.05
"""The level of the exact test that separates a regression of a flaky case from its usual failures."""


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


def compare_cases(
    base: ScoreTable, candidate: ScoreTable, shared: Set[str], metrics: Sequence[str]
) -> Iterator[CaseChange]:
    """Yield the candidate's cases in their order, then the cases that were removed.

    A case that a partial run did not select was not removed, so it is skipped.

    Args:
        base: the baseline.
        candidate: the run.
        shared: the ids of the cases that are the same in both.
        metrics: the metrics that both define in the same way; only these can be compared.
    """
    known, now = base.cases, candidate.cases
    for case in candidate.header.cases:
        row = candidate.trials[case.id]
        if case.id in shared:
            yield _compare_case(case, base.scored_trials(case.id), row, metrics)
            continue
        yield describe_case(case, row, is_edited=case.id in known)
    if is_partial(candidate):
        return
    for case in base.header.cases:
        if case.id not in now:
            before = _count_passes(base.scored_trials(case.id))
            yield CaseChange(
                case_id=case.id,
                status="removed",
                origin="removed",
                flaky=before.is_mixed,
                base_passed=before.passed,
                base_trials=before.trials,
            )


def describe_case(
    case: Case, row: Sequence[Trial | None], *, is_edited: bool = False
) -> CaseChange:
    """Return the status of a case that is not compared; None in `row` is a trial that was not run."""
    own = _count_passes(_scored(row))
    return CaseChange(
        case_id=case.id,
        status=_decide_status([trial_state(trial) for trial in row], own),
        origin="edited" if is_edited else "added",
        flaky=own.is_mixed,
        passed=own.passed,
        trials=own.trials,
        passed_all=own.passed,
    )


def is_partial(table: ScoreTable) -> bool:
    """Return whether a run selected only some cases of its set."""
    return bool(table.header.selection or table.header.shard)


def _compare_case(
    case: Case, before: Sequence[Trial], row: Sequence[Trial | None], metrics: Sequence[str]
) -> CaseChange:
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
    states = [trial_state(trial) for trial in row]
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
    if all(state == "not_run" for state in states):
        return "not_run"
    if any(state == "not_run" or state in ERROR_STATES for state in states):
        return "error"
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

    If all baseline trials passed, it does. If they disagreed, Fisher's exact test of this case decides.
    """
    if not base.is_mixed:
        return True
    # Imported here, because numpy takes 100 ms to load and most cases do not need it.
    from evalkit.stats.multiplicity import compare_case  # noqa: PLC0415

    return compare_case(*base, *now).p_value <= CASE_ALPHA


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
        if old and new and not min(old) <= mean(new) <= max(old):
            return True
    return False
