"""Distinguish refusals at random, which a lower rate of calls does not avoid, from those of a limit."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from evalkit.agents.learned_rate import LearnedRate

MAX_SHARE = 0.4
CHANCE = 0.004
"""At most so large a share of refusals is random. Refusals in a row that are less probable than this
are not."""

OUTCOMES = 40
"""The share is that of the last so many calls."""

TEST_CALLS = 24
MIN_TESTED_SHARE = 0.1
"""So many calls at another rate test whether refusals are random, if their share is at least so large."""

TRUST_CALLS = 200
RETEST_CALLS = 16
MAX_REFUSED_PROBES = 3
DOUBTFUL_DECREASE = 4.0
"""For TRUST_CALLS there is no other test, and a limit that the last test showed is not probed. After
MAX_REFUSED_PROBES the next probe waits for RETEST_CALLS. A limit is in doubt again when the rate has
fallen below it by the factor DOUBTFUL_DECREASE."""


@dataclass(slots=True)
class _Test:
    """Calls at another rate. `share_before` and `rate_before` are those of refusals and calls before."""

    began_s: float
    share_before: float
    rate_before: float
    is_slower: bool
    calls: int = 0
    refused: int = 0

    def shows_limit(self, now_s: float) -> bool:
        """Return whether fewer calls are refused at a slower rate, or no more are served at a faster one."""
        if self.is_slower:
            return self.refused / self.calls < self.share_before / 2
        served_per_second = (self.calls - self.refused) / max(now_s - self.began_s, 1e-3)
        return served_per_second < 1.5 * self.rate_before


class RandomRefusals:
    """The share of calls to an endpoint that are refused at random; 0 until there is evidence of it."""

    def __init__(self, rate: LearnedRate) -> None:
        self.share = 0.0
        self.in_a_row = 0
        self._rate = rate
        self._outcomes: deque[bool] = deque(maxlen=OUTCOMES)
        self._served_s: deque[float] = deque(maxlen=OUTCOMES)
        self._test: _Test | None = None
        self._calls_since_test = TRUST_CALLS
        self._calls_until_probe = 0
        self._limit = 0.0  # the rate when a test last showed a limit
        self._refused_probes = 0

    @property
    def explain_last(self) -> bool:
        """Whether the last refusals in a row are probably random."""
        return self.share > 0 and self.share**self.in_a_row >= CHANCE

    @property
    def may_probe(self) -> bool:
        """Whether a single call may find out that refusals are random."""
        rate = self._rate.per_second or math.inf
        return self._calls_until_probe <= 0 or rate < self._limit / DOUBTFUL_DECREASE

    def record(self, now_s: float, *, was_served: bool) -> None:
        """Record that a call was served or refused."""
        self.in_a_row = 0 if was_served else self.in_a_row + 1
        if was_served:
            self._served_s.append(now_s)
        self._outcomes.append(was_served)
        self._calls_since_test += 1
        self._calls_until_probe -= 1
        if self.share:
            self._measure()
            if self._test is None:
                self._begin_test(now_s)
            else:
                self._continue_test(self._test, now_s, was_served=was_served)

    def record_probe(self, now_s: float, *, was_served: bool) -> None:
        """Record the result of the single call: if it was served, call as fast as possible for a test."""
        if was_served:
            self.find()
            if (rate := self._rate.per_second) is not None:
                self._test = _Test(now_s, self.share, rate, is_slower=False)
                self._rate.forget()
            return
        self._refused_probes += 1
        if self._refused_probes >= MAX_REFUSED_PROBES:
            self._refused_probes = 0
            self._calls_until_probe = RETEST_CALLS

    def find(self) -> None:
        """Take the share of refusals as random: calls were served beside refused ones."""
        self._measure()

    def _measure(self) -> None:
        self.share = min(self._outcomes.count(False) / len(self._outcomes), MAX_SHARE)

    def _begin_test(self, now_s: float) -> None:
        """Find out whether calls that are as fast as they were served are refused as well."""
        served_s = self._served_s
        if (
            self._calls_since_test >= TRUST_CALLS
            and len(self._outcomes) >= TEST_CALLS
            and self.share >= MIN_TESTED_SHARE
            and self._rate.per_second is None
            and served_s[-1] > served_s[0]
        ):
            self._rate.set((len(served_s) - 1) / (served_s[-1] - served_s[0]))
            self._test = _Test(now_s, self.share, 0.0, is_slower=True)

    def _continue_test(self, test: _Test, now_s: float, *, was_served: bool) -> None:
        test.calls += 1
        test.refused += not was_served
        if test.calls < TEST_CALLS:
            return
        self._test = None
        self._calls_since_test = 0
        if not test.shows_limit(now_s):
            if test.is_slower:
                self._rate.forget()
            return
        self.share = 0.0
        self._calls_until_probe = TRUST_CALLS
        self._limit = test.rate_before or self._rate.per_second or 0.0
        if not test.is_slower:
            self._rate.set(test.rate_before)
