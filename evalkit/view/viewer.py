"""Keep what the server knows of a store between requests: the list of runs, their results, the runs under way."""

from __future__ import annotations

import threading
import time
from typing import Any

from evalkit.core.errors import EvalkitError
from evalkit.core.files import path_exists
from evalkit.store.runs import TRIALS_FILE
from evalkit.view import addresses
from evalkit.view.catalog import Catalog, Listing, StoredRun
from evalkit.view.messages import SitePage
from evalkit.view.overview import group_sets
from evalkit.view.panels import figures_text, panel_view, render_panel
from evalkit.view.progress import Progress, RunFollower
from evalkit.view.records import StoreReader
from evalkit.view.results import Results
from evalkit.view.site import RUNS_PER_PAGE, LiveView, Site

MAX_FOLLOWED = 8
"""Runs under way that are followed at once, the newest ones."""

_LIST_S = 0.5
_DECIDE_S = 1.0


class Viewer:
    """Reads a store for several threads. What is kept is bounded whatever the size of the store."""

    def __init__(self, store: StoreReader, *, place: str = "", footer: str = "") -> None:
        self.results = Results(store.read_result)
        self._store = store
        self._place = place
        self._footer = footer
        self._catalog = Catalog(store.root)
        self._lock = threading.Lock()
        self._listed: tuple[float, Listing] | None = None
        self._followers: dict[str, RunFollower] = {}
        self._undecided: tuple[StoredRun, ...] = ()

    def list_runs(self) -> Listing:
        """Return the runs as they were half a second ago or later.

        Raises:
            StoreError: the folder of runs cannot be read.
        """
        with self._lock:
            if self._listed is None or time.monotonic() - self._listed[0] > _LIST_S:
                self._listed = time.monotonic(), self._catalog.read()
            return self._listed[1]

    def render(self, address: str) -> SitePage | None:
        """Return the page with an address; None if there is none.

        Raises:
            EvalkitError: what the page shows cannot be read.
        """
        if "/" not in address:
            self._decide_shown(address)
        return self._open_site().render(address)

    def _open_site(self) -> Site:
        return Site(
            store=self._store,
            listing=self.list_runs(),
            results=self.results,
            place=self._place,
            footer=self._footer,
            live=self._describe_live,
            follows=True,
        )

    def _decide_shown(self, address: str) -> None:
        """Find the results that a page of the list shows, for a second; remember which are missing."""
        listing = self.list_runs()
        pages = {addresses.HOME: 1} | {
            addresses.runs_page(number): number
            for number in range(2, 2 + len(listing.runs) // RUNS_PER_PAGE)
        }
        start = (pages.get(address, 1) - 1) * RUNS_PER_PAGE
        newest = [run for each in group_sets(listing) for run in each.decided[:1]]
        course = [run for each in group_sets(listing) for run in each.course]
        shown = listing.runs[start : start + RUNS_PER_PAGE]
        needed = dict.fromkeys(run.id for run in (*newest, *shown, *course) if run.is_decided)
        runs = {run.id: run for run in listing.runs}
        self._undecided = self.results.compute_all([runs[each] for each in needed], _DECIDE_S)

    def decide_missing(self) -> bool:
        """Find more of the results that pages lack; return whether some are still missing."""
        if self._undecided:
            self._undecided = self.results.compute_all(self._undecided, _DECIDE_S)
        return bool(self._undecided)

    def describe_event(self, address: str) -> dict[str, Any]:
        """Return what a page that follows the store has to know: live panels, figures, and a version.

        Raises:
            StoreError: the folder of runs cannot be read.
        """
        site = self._open_site()
        run = next(
            (run for run in site.listing.runs if addresses.run_page(run.id) == address), None
        )
        live = self._describe_live(address, run)
        return {
            "panels": "".join(map(render_panel, live.panels)),
            "figures": live.figures,
            "version": site.version,
        }

    def _describe_live(self, address: str, only: StoredRun | None) -> LiveView:
        """Return the runs under way as a page shows them, or one run that is not finished."""
        alive = [run for run in self.list_runs().runs if run.is_alive][:MAX_FOLLOWED]
        panels, figures = [], []
        for run in alive if only is None else [only] if only.is_alive else []:
            try:
                progress = self._read_progress(run)
            except EvalkitError:
                continue  # the list of runs says what is wrong with it
            names = addresses.name_cases(case.id for case in progress.header.cases)
            own = addresses.run_page(run.id)

            def case_link(case_id: str, run_id: str = run.id, names: dict[str, str] = names) -> str:
                return addresses.relative_link(address, addresses.case_page(run_id, names[case_id]))

            href = "" if own == address else addresses.relative_link(address, own)
            panels.append(panel_view(run, progress, href, case_link, _quiet_s(run)))
            figures.append(figures_text(run, progress))
        return LiveView(panels=panels, figures=" ".join(figures))

    def _read_progress(self, run: StoredRun) -> Progress:
        with self._lock:
            follower = self._followers.pop(run.id, None)
            if follower is None:
                follower = RunFollower(run.folder, self._store.count_baseline_passes)
            progress = follower.read(time.monotonic(), time.time())
            self._followers[run.id] = follower
            # The ones that were asked for longest ago are forgotten.
            while len(self._followers) > MAX_FOLLOWED:
                del self._followers[next(iter(self._followers))]
        return progress


def _quiet_s(run: StoredRun) -> float | None:
    """Return the seconds since a trial of a run was stored; None before the first one."""
    path = run.folder / TRIALS_FILE
    try:
        status = path.stat() if path_exists(path) else None
    except OSError:
        return None
    return max(0.0, time.time() - status.st_mtime) if status and status.st_size else None
