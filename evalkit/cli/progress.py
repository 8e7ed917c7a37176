"""Show on stderr how far a run is: a drawing in a terminal, lines in a log of CI, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from evalkit.cli.progress_log import log_progress
from evalkit.cli.progress_screen import draw_progress
from evalkit.core.context import ProgressListener, Stage
from evalkit.core.trial import Trial


class _NoProgress:
    def finished(self, trial: Trial) -> None:
        """Ignore the trial."""


@contextmanager
def show_progress(
    stage: Stage, stream: TextIO | None, write_line: Callable[[str], None] | None
) -> Iterator[ProgressListener]:
    """Draw the progress of a stage, or print lines if the stream is no terminal and `write_line` is given."""
    if stream is not None and stream.isatty():
        with draw_progress(stage, stream) as screen:
            yield screen
    elif stream is not None and write_line is not None:
        with log_progress(stage, write_line) as log:
            yield log
    else:
        yield _NoProgress()
