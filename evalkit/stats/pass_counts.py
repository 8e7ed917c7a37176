"""Count the passes of two runs, case by case, and what the exact test conditions on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.distributions import Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class PassCounts:
    """Passes of baseline and candidate, case by case: arrays of shape (cases,), trials >= 1.

    A run may leave cases alone after their first candidate trial: those that never passed in the baseline
    or in that trial. `choice` describes the choice for the cases that took more trials. `counted_passed`
    and `counted_trials` are the candidate trials that an unbiased estimate uses; None means all of them.
    """

    base_passed: Ints
    base_trials: Ints
    passed: Ints
    trials: Ints
    choice: RerunChoice | None = None
    counted_passed: Ints | None = None
    counted_trials: Ints | None = None

    def inverted(self) -> PassCounts:
        """Return the counts of failures as passes, so that a test for a drop becomes one for a rise."""
        counted = self.counted
        return PassCounts(
            base_passed=self.base_trials - self.base_passed,
            base_trials=self.base_trials,
            passed=self.trials - self.passed,
            trials=self.trials,
            choice=self.choice.inverted() if self.choice is not None else None,
            counted_passed=counted[1] - counted[0],
            counted_trials=counted[1],
        )

    @property
    def counted(self) -> tuple[Ints, Ints]:
        """The passes and the trials of the candidate that the estimate uses."""
        if self.counted_passed is None or self.counted_trials is None:
            return self.passed, self.trials
        return self.counted_passed, self.counted_trials

    @property
    def margins(self) -> Ints:
        """What the test conditions on, shape (cases, 5).

        A row holds baseline trials, candidate trials, total passes, and the two numbers of `choice`. The
        last two are 0 where the choice does not change the distribution.
        """
        total = self.base_passed + self.passed
        columns = [self.base_trials, self.trials, total]
        if self.choice is None:
            return np.column_stack((*columns, np.zeros_like(total), np.zeros_like(total)))
        matters = (self.choice.marked > 0) & (self.choice.marked < self.trials)
        marks = (self.choice.marked, self.choice.marked_passed)
        return np.column_stack((*columns, *(np.where(matters, mark, 0) for mark in marks)))


@dataclass(frozen=True, kw_only=True, eq=False)
class RerunChoice:
    """Why cases took more than one candidate trial: arrays of shape (cases,).

    `marked` is the number of trials, of both runs, that count for the choice: a case took more trials
    because the baseline or the first candidate trial has one. 0 means that there was no choice.
    `marked_passed` is how many of them passed the tested metric.
    """

    marked: Ints
    marked_passed: Ints

    def inverted(self) -> RerunChoice:
        """Return the same choice for a test in which failures count as passes."""
        return RerunChoice(marked=self.marked, marked_passed=self.marked - self.marked_passed)


def count_below_quantile(
    base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]], level: float
) -> PassCounts:
    """Count, per case, the trials that are at most the `level` quantile of all trials of both runs.

    Values are by case and trial. A trial counts as a pass if it is at most the pooled quantile, so
    `compare_passes` tests a shift of the quantile exactly and without random draws (Mood's median test,
    for any quantile and within cases).
    """
    pooled = np.sort(np.concatenate([np.asarray(row, dtype=float) for row in (*base, *candidate)]))
    bound = pooled[int(np.ceil(level * pooled.size)) - 1]

    def count_below(rows: Sequence[Sequence[float]]) -> Ints:
        return np.array([np.count_nonzero(np.asarray(row) <= bound) for row in rows])

    return PassCounts(
        base_passed=count_below(base),
        base_trials=np.array([len(row) for row in base]),
        passed=count_below(candidate),
        trials=np.array([len(row) for row in candidate]),
    )
