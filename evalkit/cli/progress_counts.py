"""Count the trials of a stage as they finish, for the bar of a terminal and the lines of a log."""

from __future__ import annotations

from collections.abc import Callable

from evalkit.core.context import Stage
from evalkit.core.trial import Trial


class ProgressCounts:
    """How many trials of a stage passed, failed newly, failed as before, and had errors.

    `newly_failed` has the cases that passed every trial of the baseline, or without a baseline all cases
    that failed, each once, in the order in which they failed. `clock` returns seconds.
    """

    def __init__(self, stage: Stage, clock: Callable[[], float]) -> None:
        self.stage = stage
        self.clock = clock
        self.started_s = clock()
        self.earlier = len(stage.earlier)
        self.done = self.passed = self.new_failures = self.failures = self.errors = 0
        self.cost_usd = 0.0
        self.newly_failed: dict[str, None] = {}
        for trial in stage.earlier:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Count a finished trial."""
        passing = self.stage.passing
        self.done += 1
        self.cost_usd += trial.output.cost_usd or 0.0
        if trial.state != "scored":
            self.errors += trial.state != "skipped"
        elif trial.passed:
            self.passed += 1
        elif passing is not None and trial.case_id in passing:
            self.new_failures += 1
            self.newly_failed[trial.case_id] = None
        else:
            self.failures += 1
            if passing is None:
                self.newly_failed[trial.case_id] = None

    @property
    def elapsed_s(self) -> float:
        """The time since the stage started."""
        return self.clock() - self.started_s

    @property
    def left_s(self) -> float | None:
        """The time that the rest of the stage takes at the pace so far; None before the first trial."""
        fresh = self.done - self.earlier
        if not 0 < fresh <= self.done < self.stage.total:
            return None
        return self.elapsed_s / fresh * (self.stage.total - self.done)
