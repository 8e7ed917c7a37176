"""Keep what the server knows of a store between requests: the list of runs, their results, the runs under way."""

from __future__ import annotations

import threading
import time
from typing import Any

from evalkit.view import addresses
from evalkit.view.catalog import Catalog, Listing, StoredRun
from evalkit.view.live import LiveRuns
from evalkit.view.messages import SitePage
from evalkit.view.overview import group_sets
from evalkit.view.panels import render_panel
from evalkit.view.records import StoreReader
from evalkit.view.results import Results
from evalkit.view.site import RUNS_PER_PAGE, Site

_LIST_S = 0.5
_LIST_SHARE = 10
"""How many times longer a list is kept than reading it took, so that reading takes a tenth of the time."""

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
        self._live = LiveRuns(store.count_baseline_passes)
        self._undecided: tuple[StoredRun, ...] = ()

    def list_runs(self) -> Listing:
        """Return the runs as they were a moment ago; the list of a large store is read less often.

        Raises:
            StoreError: the folder of runs cannot be read.
        """
        with self._lock:
            start_s = time.monotonic()
            if self._listed is None or start_s > self._listed[0]:
                listing = self._catalog.read()
                took_s = time.monotonic() - start_s
                self._listed = start_s + max(_LIST_S, _LIST_SHARE * took_s), listing
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
            live=self._live.describe,
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
        needed = dict.fromkeys(run.id for run in (*newest, *shown, *course) if run.is_gated)
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
        live = site.describe_live(address)
        return {
            "panels": "".join(map(render_panel, live.panels)),
            "figures": live.figures,
            "version": site.version,
        }
