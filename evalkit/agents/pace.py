"""Learn from what an endpoint serves and refuses when the next call to it may start."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from evalkit.agents.learned_rate import LearnedRate
from evalkit.agents.random_refusals import RandomRefusals

RAMP_CALLS = 1
RAMP_STEP_S = 0.02
"""So many calls are in flight at first, twice as many after each step without a refusal, and one more
for each served call. After a pause it starts with twice as many."""

COLD_S = 0.1
"""The first request takes so long to be sent, because the client connects. Only two calls start before,
unless one has an outcome."""

BACKOFF_S = 0.25
MAX_BACKOFF_S = 8.0
"""The first and the longest pause after refusals that do not say how long to wait."""

PAUSE_SPREAD = 0.05
"""By up to this share a wait that an endpoint asks for is extended at random, so that two processes
that share a limit do not return at the same time."""

WINDOW_CALLS = 128
WINDOW_S = 60.0
"""Of more calls than this in more time than this, the older half says little about the rate now."""


@dataclass(slots=True)
class Cycle:
    """The time from the end of a pause to the end of the next one.

    `busy_from_s` is its start, moved by the time without calls; in the first cycle it is the first outcome
    of a call, because connecting takes time. `ramp_calls` may be in flight. The pause begins when the call
    that started at `refused_start_s` is refused; calls that started later are its followers.
    """

    busy_from_s: float
    ramped_at_s: float
    last_start_s: float
    ramp_calls: float
    has_outcome: bool = True
    is_cold: bool = False
    started: int = 0
    in_flight: int = 0
    refused: int = 0
    forgotten: float = 0.0
    is_limit: bool = False
    has_wait: bool = False
    refused_at_s: float | None = None
    refused_start_s: float = 0.0
    served_followers: int = 0
    refused_followers: int = 0

    @property
    def accepted(self) -> float:
        """The calls that were served, or have no reply yet: refusals come early."""
        return self.started - self.refused - self.forgotten

    def forget_half(self, now_s: float) -> None:
        """Forget the older half of a long cycle."""
        if self.accepted > WINDOW_CALLS and now_s - self.busy_from_s > WINDOW_S:
            self.forgotten += self.accepted / 2
            self.busy_from_s = (self.busy_from_s + now_s) / 2


@dataclass(slots=True)
class Started:
    """A call in flight: when it started, in which cycle, and whether it had waited for the pace."""

    at_s: float
    cycle: Cycle
    was_paced: bool


class Pace:
    """The pauses and the rate of the calls to one endpoint.

    All times are seconds of one clock. A refusal begins a pause, in which no call starts. After it,
    calls start at the rate at which they were served from the end of the last pause to the end of
    this one, so that both a steady limit and a quota per minute are learned. Refusals at random are no
    reason to pause: those beside which calls are served that started later, and those that a learned
    rate does not explain, after which a single call is served.
    """

    def __init__(self, rng: random.Random, ramp_calls: float = RAMP_CALLS) -> None:
        self.served_at_s = -math.inf
        self.last_served_start_s = -math.inf
        self.resumes_at_s = -math.inf
        self.rate = LearnedRate()
        self.random = RandomRefusals(self.rate)
        self._rng = rng
        self._ramp_calls = ramp_calls
        self._failing_since_s: float | None = None
        self._cycle: Cycle | None = None
        self._idle_since_s: float | None = None
        self._barren_pauses = 0  # in a row, without a served call between them
        self._may_probe = False
        self._probe: Started | None = None

    def is_paused(self, now_s: float) -> bool:
        """Whether no call may start yet, because of a refusal."""
        return now_s < self.resumes_at_s

    def silent_s(self, now_s: float) -> float:
        """Return the seconds since the first failure after the last served call; 0 if it was served."""
        return 0.0 if self._failing_since_s is None else now_s - self._failing_since_s

    def next_start_s(self, now_s: float) -> float:
        """Return the earliest time at which one more call may start, if nothing changes until then."""
        self._end_pause(now_s)
        cycle = self._cycle
        if cycle is None or self._may_probe:
            return now_s
        if self.is_paused(now_s):
            return self.resumes_at_s
        at_s = self.rate.ready_s(now_s)
        if self._barren_pauses:
            # The endpoint is down: one call at a time finds out when it is back.
            return max(at_s, cycle.last_start_s + self._backoff_s) if cycle.in_flight else at_s
        return max(at_s, self._ramp_s(cycle, now_s))

    def _ramp_s(self, cycle: Cycle, now_s: float) -> float:
        """Return when one more call may be in flight."""
        is_cold = cycle.is_cold and cycle.ramp_calls > self._ramp_calls
        step_s = cycle.ramped_at_s + (COLD_S if is_cold else RAMP_STEP_S)
        if cycle.in_flight >= cycle.ramp_calls and now_s >= step_s:
            # When this comes late, the process is busy, and may not have read a refusal yet.
            if now_s < step_s + RAMP_STEP_S:
                cycle.ramp_calls *= 2
                cycle.is_cold &= not is_cold
            cycle.ramped_at_s = now_s
            step_s = now_s + RAMP_STEP_S
        return now_s if cycle.in_flight < cycle.ramp_calls else step_s

    def start(self, now_s: float, *, was_paced: bool) -> Started:
        """Record that a call starts. `was_paced` is whether it had to wait for the pace."""
        if self._cycle is None:
            self._cycle = Cycle(
                now_s, now_s, now_s, self._ramp_calls, has_outcome=False, is_cold=True
            )
        cycle = self._cycle
        if self._idle_since_s is not None and not was_paced:
            cycle.busy_from_s += max(0.0, now_s - max(self._idle_since_s, cycle.busy_from_s))
        self._idle_since_s = None
        self.rate.take(now_s)
        cycle.started += 1
        cycle.in_flight += 1
        cycle.last_start_s = now_s
        cycle.forget_half(now_s)
        started = Started(now_s, cycle, was_paced)
        if self._may_probe:
            self._may_probe, self._probe = False, started
        return started

    def end(self, call: Started, now_s: float) -> None:
        """Record that a call is no longer in flight."""
        self._note_outcome(call.cycle, now_s)
        call.cycle.in_flight -= 1
        if call.cycle is self._cycle and not call.cycle.in_flight:
            self._idle_since_s = now_s

    def record_served(self, call: Started, now_s: float) -> None:
        """Record that the endpoint answered a call, even by refusing that call for good."""
        self.served_at_s = now_s
        self.last_served_start_s = max(self.last_served_start_s, call.at_s)
        self._failing_since_s = None
        if self._barren_pauses and self._cycle is not None:
            self._cycle.ramped_at_s = now_s
        self._barren_pauses = 0
        self.random.record(now_s, was_served=True)
        if call.was_paced:
            self.rate.record_served()
        cycle = call.cycle
        cycle.ramp_calls += 1
        if cycle.refused_at_s is None or not (cycle.is_limit and self.is_paused(now_s)):
            return
        if call is self._probe:
            self._lift_pause(cycle, now_s)
            self.random.record_probe(now_s, was_served=True)
            return
        cycle.served_followers += call.at_s > cycle.refused_start_s
        if cycle.served_followers > max(1, cycle.refused_followers):
            self._lift_pause(cycle, now_s)
            self.random.find()

    def record_failed(self, now_s: float) -> None:
        """Record that a call failed, whether or not the endpoint refuses all calls."""
        if self._failing_since_s is None:
            self._failing_since_s = now_s

    def record_refused(
        self, call: Started, now_s: float, wait_s: float | None, *, is_limit: bool
    ) -> None:
        """Record that the endpoint refused a call for now, and asked to wait if `wait_s` is given.

        `is_limit` is whether the refusal may be a rate limit. Otherwise it changes no rate.
        """
        self.record_failed(now_s)
        self.random.record(now_s, was_served=False)
        cycle = call.cycle
        self._note_outcome(cycle, now_s)
        cycle.refused += 1
        wait_s = (wait_s or 0.0) * self._rng.uniform(1.0, 1.0 + PAUSE_SPREAD)
        if self.is_paused(now_s):
            self.resumes_at_s = max(self.resumes_at_s, now_s + wait_s)
            cycle.refused_followers += call.at_s > cycle.refused_start_s
            if call is self._probe:
                self.random.record_probe(now_s, was_served=False)
        elif cycle is self._cycle and not (is_limit and self.random.explain_last):
            cycle.refused_at_s, cycle.refused_start_s = now_s, call.at_s
            cycle.is_limit, cycle.has_wait = is_limit, wait_s > 0
            cycle.served_followers = cycle.refused_followers = 0
            backoff_s = self._backoff_s * self._rng.uniform(0.5, 1.0)
            self.resumes_at_s = now_s + max(backoff_s, wait_s)
            is_odd = is_limit and self.rate.is_recovering
            self._may_probe, self._probe = is_odd and self.random.may_probe, None

    def _note_outcome(self, cycle: Cycle, now_s: float) -> None:
        if not cycle.has_outcome:
            cycle.has_outcome, cycle.is_cold = True, False
            cycle.busy_from_s = now_s

    @property
    def _backoff_s(self) -> float:
        return min(BACKOFF_S * 2.0**self._barren_pauses, MAX_BACKOFF_S)

    def _lift_pause(self, cycle: Cycle, now_s: float) -> None:
        cycle.refused_at_s = None
        self.resumes_at_s = now_s

    def _end_pause(self, now_s: float) -> None:
        """Begin a cycle, and learn the rate from the one that is over, if its pause is over."""
        cycle = self._cycle
        if cycle is None or cycle.refused_at_s is None or self.is_paused(now_s):
            return
        at_s = self.resumes_at_s
        if cycle.accepted < 1:
            self._barren_pauses += 1
        elif cycle.is_limit:
            served_per_second = cycle.accepted / max(at_s - cycle.busy_from_s, 1e-3)
            self.rate.learn(served_per_second, is_cheap=not cycle.has_wait)
        # What the endpoint did not serve in the pause, it may serve at once after it.
        paused_s = at_s - cycle.refused_at_s if cycle.accepted >= 1 else 0.0
        self.rate.give_credit((self.rate.per_second or 0.0) * paused_s, at_s)
        self._idle_since_s = None
        self._may_probe, self._probe = False, None
        self._cycle = Cycle(at_s, at_s, at_s, 2 * self._ramp_calls)
