"""Decide from how long calls wait whether a further process pays for its start."""

from __future__ import annotations

from collections.abc import Iterable

PIPE_TIME_S = 0.05
"""The longest that a call may plausibly spend on its way to and from its process."""

MIN_SHARE_INSIDE = 0.5
"""Calls that spend less of their time in the target wait for the pipe. More processes do not help."""

PATIENCE = 0.25
"""The share of a start that calls wait before they get a process. Waiting costs more than a start."""

MEMORY = 0.9
"""The weight that a call keeps when the next one has ended."""


class Demand:
    """Measures the demand for processes that take one call at a time.

    The first process took `start_s` to start. Another one is due when calls have waited for a share of
    this time; the more processes run, the sooner, so that their number doubles in equal times. A fast
    target never makes one due, because its calls spend most of their time on the pipe.
    """

    def __init__(self, start_s: float) -> None:
        self._patience_s = PATIENCE * start_s
        self._missed_s = 0.0
        self._measured_at: float | None = None
        self._waiting = 0
        self._processes = 0
        self._inside_s = 0.0
        self._occupied_s = 0.0

    def update(self, now: float, waiting: int, processes: int) -> None:
        """Count the time since the last update, and set how many calls wait and how many processes run."""
        if self._measured_at is not None:
            self._missed_s += (now - self._measured_at) * self._rate
        self._measured_at, self._waiting, self._processes = now, waiting, processes

    @property
    def _rate(self) -> int:
        return min(self._waiting, self._processes)

    def record_call(self, inside_s: float, occupied_s: float) -> None:
        """Count a call that took `inside_s` in the target and occupied its process for `occupied_s`."""
        self._inside_s = MEMORY * self._inside_s + inside_s
        self._occupied_s = MEMORY * self._occupied_s + occupied_s

    def reset(self) -> None:
        """Begin to count again, because a process is being started or cannot be."""
        self._missed_s = 0.0

    def is_due(self, running_s: Iterable[float]) -> bool:
        """Return whether another process is due, given how long the calls in flight have been running."""
        if self._missed_s < self._patience_s or not self._waiting:
            return False
        inside_s, occupied_s = self._inside_s, self._occupied_s
        for age_s in running_s:
            inside_s += max(0.0, age_s - PIPE_TIME_S)
            occupied_s += age_s
        return inside_s >= MIN_SHARE_INSIDE * occupied_s

    @property
    def wait_s(self) -> float:
        """After which time to ask again, if nothing changes before."""
        return max(PIPE_TIME_S, (self._patience_s - self._missed_s) / max(1, self._rate))
