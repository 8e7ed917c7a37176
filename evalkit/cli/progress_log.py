"""Print the progress of a run as lines, for logs of CI: at the start, every 10 % or 30 s, and at the end.

In the first seconds, the lines for 10 % are left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evalkit.cli.progress_counts import ProgressCounts
from evalkit.core.context import Stage
from evalkit.core.format import format_count, format_estimated_time
from evalkit.core.trial import Trial

INTERVAL_S = 30.0
QUIET_S = 5.0
"""A stage that is over by then prints only its first and its last line."""

_SHARES = 10


class ProgressLog:
    """Counts the trials of a stage, and prints a line when there is something to say.

    Trials finish in one thread, and `tick` is called in another. `clock` returns seconds.
    """

    def __init__(
        self, stage: Stage, write: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._stage = stage
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._start_s = self._printed_s = self._last_s = clock()
        self._counts = ProgressCounts(stage, clock)
        self._printed_share = self._find_share()

    def start(self) -> None:
        """Print what will be done."""
        earlier = self._counts.earlier
        trials = format_count(self._stage.total - earlier, "trial")
        before = f", {earlier:,} more are stored" if earlier else ""
        kind = f", {self._stage.label}" if self._stage.label else ""
        with self._lock:
            self._print("start", f"{trials}{kind}{before}")

    def finished(self, trial: Trial) -> None:
        """Count a trial, and print a line if another 10 % are done, or the last line is 30 s old."""
        with self._lock:
            self._counts.add(trial)
            self._last_s = self._clock()
            share, is_last = self._find_share(), self._counts.done >= self._stage.total
            is_due = self._last_s - self._printed_s >= INTERVAL_S
            is_news = share > self._printed_share and self._last_s - self._start_s >= QUIET_S
            if (is_news or is_due) and not is_last:
                self._printed_share = share
                self._print_counts()

    def tick(self) -> None:
        """Print a line if the last one is 30 s old, also if no trial has finished since."""
        with self._lock:
            if self._clock() - self._printed_s >= INTERVAL_S:
                self._print_counts()

    def end(self) -> None:
        """Print the last line of the stage."""
        with self._lock:
            self._print_counts()

    def _find_share(self) -> int:
        return self._counts.done * _SHARES // max(self._stage.total, 1)

    def _print_counts(self) -> None:
        counts, total = self._counts, self._stage.total
        parts = [f"{counts.passed:,} pass"]
        if self._stage.passing is None:
            parts.append(f"{counts.failures:,} fail")
        else:
            parts += [f"{counts.new_failures:,} newly failing", f"{counts.failures:,} as before"]
        parts += [format_count(counts.errors, "error")] if counts.errors else []
        parts += [f"${counts.cost_usd:.2f}"] if counts.cost_usd else []
        silence_s = self._clock() - self._last_s
        if silence_s >= INTERVAL_S:
            parts.append(f"{silence_s:.0f} s without a finished trial")
        elif counts.left_s is not None:
            parts.append(f"{format_estimated_time(counts.left_s)} left")
        elapsed = format_estimated_time(counts.elapsed_s)
        self._print(elapsed, f"{counts.done:,}/{total:,}  {', '.join(parts)}")

    def _print(self, when: str, text: str) -> None:
        self._printed_s = self._clock()
        self._write(f"{self._stage.evalset}  {when:<6}  {text}")


@contextmanager
def log_progress(stage: Stage, write: Callable[[str], None]) -> Iterator[ProgressLog]:
    """Print the progress of a stage while it runs; a stage without trials prints nothing."""
    log = ProgressLog(stage, write, time.monotonic)
    if stage.total <= len(stage.earlier):
        yield log
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            log.tick()

    log.start()
    # A daemon, so that it cannot keep an interrupted process alive.
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield log
    finally:
        over.set()
        watcher.join()
        log.end()
