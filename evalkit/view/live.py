"""Describe the unfinished runs that a page shows. What was read of them is kept for the next time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evalkit.core.errors import EvalkitError
from evalkit.store.runs import TRIALS_FILE
from evalkit.view import addresses
from evalkit.view.catalog import StoredRun
from evalkit.view.panels import figures_text, panel_view
from evalkit.view.progress import BaselineCounter, Progress, RunFollower

MAX_FOLLOWED = 8
"""Runs under way that are followed at once, the newest ones."""

Linker: TypeAlias = Callable[[str], str]
"""Returns the link from a page to an address; empty if there is no such page, or it is that page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveView:
    """Runs that are not finished: their panels, and the figures of those under way as sentences."""

    panels: Sequence[dict[str, Any]] = ()
    figures: str = ""


class LiveRuns:
    """Follows the unfinished runs of a store, for several threads."""

    def __init__(self, count_baseline: BaselineCounter) -> None:
        self._count_baseline = count_baseline
        self._followers: dict[str, RunFollower] = {}
        self._lock = threading.Lock()

    def describe(self, runs: Iterable[StoredRun], link: Linker) -> LiveView:
        """Return the newest of some unfinished runs as a page shows them."""
        panels, figures = [], []
        for run in list(runs)[:MAX_FOLLOWED]:
            try:
                progress = self._read(run)
            except EvalkitError:
                continue  # its own page says what is wrong with it
            names = addresses.name_cases(case.id for case in progress.header.cases)
            pages = {
                case.case_id: link(addresses.case_page(run.id, names[case.case_id]))
                for case in progress.worst
            }
            href = link(addresses.run_page(run.id))
            panels.append(panel_view(run, progress, href, pages, _measure_quiet(run)))
            if run.is_alive:
                figures.append(figures_text(run, progress))
        return LiveView(panels=panels, figures=" ".join(figures))

    def _read(self, run: StoredRun) -> Progress:
        with self._lock:
            follower = self._followers.pop(run.id, None) or RunFollower(
                run.folder, self._count_baseline
            )
            progress = follower.read(time.time())
            self._followers[run.id] = follower
            # The ones that were asked for longest ago are forgotten.
            while len(self._followers) > MAX_FOLLOWED:
                del self._followers[next(iter(self._followers))]
        return progress


def _measure_quiet(run: StoredRun) -> float | None:
    """Return the seconds since a trial of a run was stored; None before the first one."""
    try:
        status = (run.folder / TRIALS_FILE).stat()
    except OSError:
        return None
    return max(0.0, time.time() - status.st_mtime) if status.st_size else None
