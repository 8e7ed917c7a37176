"""The rate of calls that an endpoint has served, and how it grows while no call is refused."""

from __future__ import annotations

HEADROOM = 0.75
"""The share of the learned rate with which calls start again after a pause."""

GROWTH_CALLS = 14.0
GROWTH_S = 4.0
CHEAP_GROWTH_CALLS = 4.0
"""After about so many served calls without a refusal the rate doubles, but not in less than so many
seconds. They are twice as many once a refusal has confirmed the rate, and few while refusals are cheap."""

SHARING_RATE = 3.0
MAX_SHARING = 1.3
"""A slower rate than this, in calls per second, grows as if up to so many times as many calls were served."""

CONFIRMING_SHARE = 0.8
"""A refusal confirms the rate if this share of it, or of the rate learned before, was served until then."""

DECREASE = 0.9
"""The share of a well-known rate that is left when calls are refused that it should have allowed."""

MAX_GROWTH = 12.0
"""A rate that has grown to so many times the learned one was not the limit, and is forgotten."""


class LearnedRate:
    """A limit of calls per second, learned from refusals; there is none at first.

    After a refusal the rate starts a little below what was served. It rises slowly to that rate, and
    beyond it faster and faster (as in TCP CUBIC). All times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._peak: float | None = None
        self._estimates = 0
        self._served_calls = 0.0
        self._growth_calls = GROWTH_CALLS
        # Calls that may start at once.
        self._credit = 0.0
        self._credit_at_s = 0.0

    @property
    def per_second(self) -> float | None:
        """The calls per second that may start now, or None without a limit."""
        return None if self._peak is None else self._peak * self._growth

    @property
    def is_recovering(self) -> bool:
        """Whether the rate is still below the one that was served."""
        return self._peak is not None and self._growth < 1

    @property
    def _growth(self) -> float:
        plateau_at: float = self._growth_calls * (1 - HEADROOM) ** (1 / 3)
        return 1 + ((self._served_calls - plateau_at) / self._growth_calls) ** 3

    def ready_s(self, now_s: float) -> float:
        """Return the earliest time at which a call may start."""
        rate = self.per_second
        if rate is None:
            return now_s
        self._refill(now_s)
        return now_s + max(0.0, 1.0 - self._credit) / rate

    def take(self, now_s: float) -> None:
        """Record that a call starts."""
        if self._peak is not None:
            self._refill(now_s)
            self._credit -= 1.0

    def record_served(self) -> None:
        """Record that a call was served which had waited for the rate."""
        if (rate := self.per_second) is not None:
            # A slow rate grows faster, so that processes that share a limit get equal shares.
            self._served_calls += min(MAX_SHARING, max(1.0, SHARING_RATE / rate))
            if self._growth > MAX_GROWTH:
                self.forget()

    def learn(self, served_per_second: float, *, is_cheap: bool) -> None:
        """Learn from a refusal, until which so many calls were served per second.

        It `is_cheap` if the endpoint did not ask to wait, so that the next one costs little time.
        """
        rate, old = self.per_second, self._peak
        is_known = self._estimates > 1
        self._estimates += 1
        self._served_calls = 0
        served = served_per_second
        if rate is None or old is None:
            self._peak = served
            self._growth_calls = CHEAP_GROWTH_CALLS if is_cheap else self._fastest_growth
        elif served >= CONFIRMING_SHARE * rate:
            self._peak = min(rate, max(served, old))
            self._growth_calls = min(self._growth_calls * 2, self._slowest_growth)
        elif served >= CONFIRMING_SHARE * old:
            # It rose far above what was served: another process may have used less for a while.
            self._peak = served
            self._growth_calls = min(self._growth_calls * 1.25, self._slowest_growth)
        else:
            self._peak = max(min(served, rate), DECREASE * rate if is_known else 0.0)
            self._growth_calls = CHEAP_GROWTH_CALLS if is_cheap else self._fastest_growth

    def set(self, per_second: float) -> None:
        """Take a rate as well known."""
        self._peak = per_second
        self._estimates, self._served_calls = 2, 0
        self._growth_calls = self._slowest_growth

    def forget(self) -> None:
        """Have no limit again."""
        self._peak = None
        self._estimates = 0

    def give_credit(self, calls: float, now_s: float) -> None:
        """Let so many calls start at once, because the endpoint was not called for a while."""
        self._credit, self._credit_at_s = max(1.0, calls), now_s

    @property
    def _fastest_growth(self) -> float:
        return max(GROWTH_CALLS, GROWTH_S * (self._peak or 0.0))

    @property
    def _slowest_growth(self) -> float:
        return 2 * self._fastest_growth

    def _refill(self, now_s: float) -> None:
        earned = max(0.0, now_s - self._credit_at_s) * (self.per_second or 0.0)
        # Time without calls gives credit for one call: a burst could be refused.
        self._credit = max(self._credit, min(self._credit + earned, 1.0))
        self._credit_at_s = max(self._credit_at_s, now_s)
