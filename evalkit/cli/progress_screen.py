"""Draw the progress of a run on a terminal: trials done, time left, and the cases that fail newly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from evalkit.cli.progress_counts import ProgressCounts
from evalkit.core.context import Stage
from evalkit.core.format import format_estimated_time
from evalkit.core.trial import Trial

if TYPE_CHECKING:
    from evalkit.report.screen import Screen

_MAX_FAILING = 3
_BAR_SHARE = 2


def progress_lines(counts: ProgressCounts, screen: Screen) -> list[str]:
    """Return the lines of the progress screen, none wider than the screen."""
    stage = counts.stage
    size = screen.columns // _BAR_SHARE
    filled = size * counts.done // max(stage.total, 1)
    full, rest = ("█", "░") if screen.unicode else ("#", ".")
    title = "  ".join(filter(None, (stage.evalset, stage.label)))
    return [
        screen.show(line, screen.columns)
        for line in (
            title,
            f"  {full * filled}{rest * (size - filled)}  {counts.done:,} of {stage.total:,}",
            f"  {_time_text(counts)}",
            f"  {_counts_text(counts)}",
            *_failing_lines(counts),
            "  ^C stops; finished trials are kept, and --resume continues",
        )
    ]


def _time_text(counts: ProgressCounts) -> str:
    parts = [f"{format_estimated_time(counts.elapsed_s)} gone"]
    if counts.left_s is not None:
        # A run may take another look, so that this is not the time of the whole run.
        what = " for this look" if counts.stage.label else ""
        parts.append(f"{format_estimated_time(counts.left_s)} left{what}")
    if counts.cost_usd:
        parts.append(f"${counts.cost_usd:.2f}")
    return ", ".join(parts)


def _counts_text(counts: ProgressCounts) -> str:
    parts = [f"{counts.passed:,} pass"]
    if counts.stage.passing is None:
        parts.append(f"{counts.failures:,} fail")
    else:
        parts += [f"{counts.new_failures:,} newly failing", f"{counts.failures:,} fail as before"]
    parts += [f"{counts.errors:,} without a score"] if counts.errors else []
    return "   ".join((*parts, f"{counts.stage.total - counts.done:,} wait"))


def _failing_lines(counts: ProgressCounts) -> Iterator[str]:
    """Yield the newest cases that fail newly."""
    newest = list(counts.newly_failed)[-_MAX_FAILING:]
    for case_id in newest:
        yield f"  fails  {case_id}"
    more = len(counts.newly_failed) - len(newest)
    if more:
        yield f"  and {more:,} more"


class _ProgressScreen:
    def __init__(self, counts: ProgressCounts) -> None:
        self._counts = counts

    def finished(self, trial: Trial) -> None:
        self._counts.add(trial)


@contextmanager
def draw_progress(stage: Stage, stream: TextIO) -> Iterator[_ProgressScreen]:
    """Draw the progress of a stage until it ends, and then remove the drawing."""
    # rich takes longer to load than many commands take to run, and only a terminal needs it.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from evalkit.report.screen import Screen

    console = Console(file=stream)
    counts = ProgressCounts(stage, time.monotonic)
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()

    def render() -> Text:
        # One column stays free: some terminals wrap a line that fills the last one.
        screen = Screen(width=console.width - 1, unicode=encoding.startswith("utf"))
        return Text("\n".join(progress_lines(counts, screen)), no_wrap=True)

    with Live(get_renderable=render, console=console, transient=True, refresh_per_second=4):
        yield _ProgressScreen(counts)
