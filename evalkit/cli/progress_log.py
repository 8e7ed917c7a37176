"""Print the progress of a run as lines, for logs of CI: at the start, every 10 % or 30 s, and at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evalkit.core.context import Stage
from evalkit.core.format import format_count
from evalkit.core.trial import Trial

INTERVAL_S = 30.0
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
        self._started_s = self._printed_s = self._last_s = clock()
        self._earlier = len(stage.earlier)
        self._done = 0
        self._passed = 0
        self._newly_failed = 0
        self._failed = 0
        self._errors = 0
        self._cost_usd = 0.0
        for trial in stage.earlier:
            self._count(trial)
        self._printed_share = self._find_share()

    def start(self) -> None:
        """Print what will be done."""
        trials = format_count(self._stage.total - self._earlier, "trial")
        before = f", {self._earlier:,} more are stored" if self._earlier else ""
        kind = f", {self._stage.label}" if self._stage.label else ""
        with self._lock:
            self._print("start", f"{trials}{kind}{before}")

    def finished(self, trial: Trial) -> None:
        """Count a trial, and print a line if another 10 % are done, or the last line is 30 s old."""
        with self._lock:
            self._count(trial)
            self._last_s = self._clock()
            share, is_last = self._find_share(), self._done >= self._stage.total
            is_due = self._last_s - self._printed_s >= INTERVAL_S
            if (share > self._printed_share or is_due) and not is_last:
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
        return self._done * _SHARES // max(self._stage.total, 1)

    def _count(self, trial: Trial) -> None:
        passing = self._stage.passing
        self._done += 1
        self._cost_usd += trial.output.cost_usd or 0.0
        if trial.state != "scored":
            self._errors += trial.state != "skipped"
        elif trial.passed:
            self._passed += 1
        elif passing is not None and trial.case_id in passing:
            self._newly_failed += 1
        else:
            self._failed += 1

    def _print_counts(self) -> None:
        done, total = self._done, self._stage.total
        counts = [f"{self._passed:,} pass"]
        if self._stage.passing is None:
            counts.append(f"{self._failed:,} fail")
        else:
            counts += [f"{self._newly_failed:,} newly failing", f"{self._failed:,} as before"]
        counts += [format_count(self._errors, "error")] if self._errors else []
        counts += [f"${self._cost_usd:.2f}"] if self._cost_usd else []
        silence_s = self._clock() - self._last_s
        if silence_s >= INTERVAL_S:
            counts.append(f"{silence_s:.0f} s without a finished trial")
        elif self._earlier < done < total:
            each_s = (self._clock() - self._started_s) / (done - self._earlier)
            counts.append(f"{_format_s(each_s * (total - done))} left")
        elapsed = _format_s(self._clock() - self._started_s)
        self._print(elapsed, f"{done:,}/{total:,}  {', '.join(counts)}")

    def _print(self, when: str, text: str) -> None:
        self._printed_s = self._clock()
        self._write(f"{self._stage.evalset}  {when:<6}  {text}")


def _format_s(seconds: float) -> str:
    """Return a duration as whole seconds or minutes.

    >>> _format_s(59.2), _format_s(150)
    ('59 s', '3 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{-(-seconds // 60):.0f} min"


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
