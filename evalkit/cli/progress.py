"""A bar on stderr for work that takes long: done, failed, time left, cost. Only on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from evalkit.core.context import ProgressListener
from evalkit.core.trial import Trial


class _NoProgress:
    def finished(self, trial: Trial) -> None:
        """Say nothing."""


class _ProgressBar:
    def __init__(self, total: int, stream: TextIO) -> None:
        # Loaded only where there is a terminal to draw on.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.display = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=24, style="dim", complete_style="default", finished_style="green"),
            TextColumn("{task.fields[talk]}"),
            TimeRemainingColumn(compact=True),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self.display.add_task("", total=total, talk="")
        self._failed = 0
        self._errors = 0
        self._cost_usd = 0.0

    def finished(self, trial: Trial) -> None:
        self._errors += trial.state != "scored"
        self._failed += trial.state == "scored" and not trial.passed
        self._cost_usd += trial.output.cost_usd or 0.0
        talk = f"{self._failed} failed"
        talk += f", {self._errors} errors" if self._errors else ""
        talk += f", ${self._cost_usd:.2f}" if self._cost_usd else ""
        self.display.update(self._task, advance=1, talk=talk)


@contextmanager
def show_progress(total: int, stream: TextIO | None) -> Iterator[ProgressListener]:
    """Draw the bar while a run goes on; silent where the stream is no terminal."""
    if stream is None or not stream.isatty():
        yield _NoProgress()
        return
    bar = _ProgressBar(total, stream)
    with bar.display:
        yield bar
