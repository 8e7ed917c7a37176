"""Search a row of commits for the one that made the agent worse, when some commits cannot be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["good", "bad", "skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The state of a search among the commits 1 to `count`, in order of history; the last one is bad.

    `good` is the newest commit known to be good, 0 for the one before the first. `bad` is the oldest one
    known to be bad. `skipped` are commits that were tested and could not be decided.
    """

    count: int
    good: int
    bad: int
    skipped: frozenset[int] = frozenset()

    @classmethod
    def start(cls, count: int) -> Search:
        """Return the search among `count` commits, at least one, before any was tested."""
        return cls(count=count, good=0, bad=count)

    @property
    def next_commit(self) -> int | None:
        """The commit to test next, the median of those that can be tested; None at the end.

        A verdict halves what can be tested, wherever the skipped commits are.
        """
        left = [each for each in range(self.good + 1, self.bad) if each not in self.skipped]
        return left[len(left) // 2] if left else None

    @property
    def suspects(self) -> Sequence[int]:
        """The commits of which one made the agent worse."""
        return range(self.good + 1, self.bad + 1)

    def record(self, commit: int, verdict: Verdict) -> Search:
        """Return the search after a commit was tested."""
        if verdict == "skipped":
            return replace(self, skipped=self.skipped | {commit})
        return replace(self, good=commit) if verdict == "good" else replace(self, bad=commit)


def count_steps(count: int) -> int:
    """Return the largest number of verdicts that a search among `count` commits needs: ceil(log2(count))."""
    return (count - 1).bit_length()


def level_at_step(alpha: float, step: int, planned: int) -> float:
    """Return the level of the tests of a step, counted from 0, so that all steps together have `alpha`.

    Each of the planned steps has an equal share. One more share is halved again and again for the steps
    that skipped commits add, so that the sum stays below alpha (Bonferroni) however many there are.
    """
    share = alpha / (planned + 1)
    return share if step < planned else share / 2.0 ** (step - planned + 1)


def share_at_look(trials: int, max_trials: int) -> float:
    """Return the share of a step's level at a look with `trials` trials per case.

    The trials double from look to look. The first look has half of the level, each later one half of the
    rest, and the last one all of it. The shares sum to 1, so the looks need no assumption about how they
    depend on each other.
    """
    if max_trials == 1:
        return 1.0
    look = (trials - 1).bit_length()
    last = (max_trials - 1).bit_length()
    return 0.5 ** min(look + 1, last)


def next_look(trials: int, max_trials: int) -> int | None:
    """Return the number of trials per case at the next look; None after the last one."""
    return min(2 * trials, max_trials) if trials < max_trials else None
