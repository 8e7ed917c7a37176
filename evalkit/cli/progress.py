"""Show on stderr how far a run is: a bar in a terminal, lines in a log of CI, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from evalkit.cli.progress_log import log_progress
from evalkit.core.context import ProgressListener, Stage
from evalkit.core.trial import Trial


class _NoProgress:
    def finished(self, trial: Trial) -> None:
        """Ignore the trial."""


class _ProgressBar:
    def __init__(self, total: int, stream: TextIO) -> None:
        # rich takes longer to load than many commands take to run, and only a terminal needs it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.display = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=24, style="dim", complete_style="default", finished_style="green"),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(compact=True),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self.display.add_task("", total=total, counts="")
        self._failed = 0
        self._errors = 0
        self._cost_usd = 0.0

    def finished(self, trial: Trial) -> None:
        self._errors += trial.state != "scored"
        self._failed += trial.state == "scored" and not trial.passed
        self._cost_usd += trial.output.cost_usd or 0.0
        counts = f"{self._failed} failed"
        counts += f", {self._errors} errors" if self._errors else ""
        counts += f", ${self._cost_usd:.2f}" if self._cost_usd else ""
        self.display.update(self._task, advance=1, counts=counts)


@contextmanager
def show_progress(
    stage: Stage, stream: TextIO | None, write_line: Callable[[str], None] | None
) -> Iterator[ProgressListener]:
    """Draw the bar during a stage, or print lines if the stream is no terminal and `write_line` is given."""
    if stream is not None and stream.isatty():
        bar = _ProgressBar(stage.total - len(stage.earlier), stream)
        with bar.display:
            yield bar
    elif stream is not None and write_line is not None:
        with log_progress(stage, write_line) as log:
            yield log
    else:
        yield _NoProgress()
