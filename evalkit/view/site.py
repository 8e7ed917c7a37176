"""Find and render the page of an address: the same for the server and for an export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from evalkit.core.errors import NothingSelected
from evalkit.core.format import format_count
from evalkit.report.html.page import add_crumb, render_page
from evalkit.view import addresses
from evalkit.view.catalog import Listing, StoredRun
from evalkit.view.comparisons import ComparisonLinks, render_comparisons
from evalkit.view.live import Linker, LiveView
from evalkit.view.messages import SitePage, message_page
from evalkit.view.overview import (
    SetSummary,
    count_failing,
    group_sets,
    order_sets,
    run_view,
    set_view,
)
from evalkit.view.records import StoreReader
from evalkit.view.results import Results

RUNS_PER_PAGE = 50
BASELINE = "baseline"
"""The name of the baseline of a run in addresses."""

STORED = "stored"
"""The name of the report on what is stored of an unfinished run; names of cases start with `case`."""

_UNFINISHED_TEXTS = {
    "running": "It has no verdict before its last trial.",
    "interrupted": "It ended before its last trial, so it has no verdict. Finished trials are stored.",
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """The pages of a store as it was listed.

    `whole` lists all runs, if only some of them have pages: the home page sums up the sets of all. `live`
    describes unfinished runs. `place` says where the store is. `includes` says which addresses exist, so
    that no page links to one that does not. With `follows`, pages have a script that follows the store.
    """

    store: StoreReader
    listing: Listing
    results: Results
    live: Callable[[Iterable[StoredRun], Linker], LiveView]
    place: str
    footer: str = ""
    notes: Sequence[str] = ()
    whole: Listing | None = None
    includes: Callable[[str], bool] = lambda _: True
    follows: bool = False
    _routes: dict[str, Callable[[], SitePage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = -(-len(self.listing.runs) // RUNS_PER_PAGE)
        for number in range(1, max(1, count) + 1):
            self._routes[addresses.runs_page(number)] = partial(self._home, number)
        for run in self.listing.runs:
            self._routes[addresses.run_page(run.id)] = partial(self._run, run)
            self._routes[addresses.compare_page(run.id)] = partial(self._compare, run)
        for summary in group_sets(self.listing):
            self._routes[addresses.set_page(summary.path)] = partial(self._set, summary)

    def render(self, address: str) -> SitePage | None:
        """Return the page with an address; None if there is none.

        Raises:
            EvalkitError: what the page shows cannot be read.
        """
        if not self.includes(address):
            return None
        route = self._routes.get(address)
        if route is not None:
            return route()
        kind, _, rest = address.removesuffix(".html").partition("/")
        name, _, part = rest.partition("/")
        run = self.find_run(name)
        if run is None or not part or not address.endswith(".html"):
            return None
        if kind == "runs":
            return self._stored_part(run) if part == STORED else self._case(run, part)
        if kind == "diffs":
            base = None if part == BASELINE else self.find_run(part)
            return self._diff(run, base) if base or part == BASELINE else None
        return None

    def find_run(self, name: str) -> StoredRun | None:
        """Return the run with this name in addresses."""
        return next((run for run in self.listing.runs if addresses.name_run(run.id) == name), None)

    @property
    def version(self) -> str:
        """A digest of the list, which changes when a page would show something else."""
        state = [
            (run.id, run.marks, run.is_alive, self.results.find(run).is_pending)
            for run in self.listing.runs
        ]
        return hashlib.sha256(repr(state).encode()).hexdigest()[:16]

    def _baseline_link(self, address: str, run: StoredRun) -> str:
        """Return the link to the changes since the baseline; empty if there is none."""
        has = self.store.has_baseline(run)
        return self.link(address, addresses.diff_page(BASELINE, run.id)) if has else ""

    def link(self, source: str, target: str, anchor: str = "") -> str:
        """Return the link from one page to another; empty if that does not exist."""
        return addresses.relative_link(source, target, anchor) if self.includes(target) else ""

    def describe_live(self, address: str) -> LiveView:
        """Return the unfinished runs that a page shows: one on its own page, those under way elsewhere."""
        own = [run for run in self.listing.runs if addresses.run_page(run.id) == address]
        alive = [run for run in self.listing.runs if run.is_alive]
        shown = [run for run in own if not run.finished and not run.problem] if own else alive
        return self.live(
            shown, lambda target: "" if target == address else self.link(address, target)
        )

    def _home(self, number: int) -> SitePage:
        address = addresses.runs_page(number)
        find = self.results.find
        summaries = group_sets(self.whole or self.listing)
        sets = order_sets(summaries, find) if number == 1 else []
        live = self.describe_live(address)
        start = (number - 1) * RUNS_PER_PAGE
        shown = self.listing.runs[start : start + RUNS_PER_PAGE]
        total = len(self.listing.runs)
        under_way = len(live.panels)
        html = render_page(
            "home.html.j2",
            styles=("view.css",),
            scripts=("view.js",),
            connects=self.follows,
            title="evalkit view" if self.follows else "evalkit",
            place=self.place,
            heading=format_count(len(summaries), "set"),
            failing=count_failing(sets, find),
            under_way=f"{format_count(under_way, 'run')} in progress" if under_way else "",
            live=live.panels,
            figures=live.figures,
            version=self.version,
            events=f"events?page={address}" if self.follows else "",
            sets=[
                set_view(
                    each,
                    find,
                    self.link(address, addresses.set_page(each.path)),
                    lambda run: self.link(address, addresses.run_page(run.id)),
                )
                for each in sets
            ],
            runs_title=f"Runs {start + 1:,} to {start + len(shown):,} of {total:,}, newest first"
            if total > len(shown)
            else "Runs, newest first",
            runs=[self._run_row(address, run) for run in shown],
            empty="No run is stored here. Make one with: evalkit run EVALSET",
            pages=self._page_links(address, number),
            notes=[*self._list_notes(), *self.notes],
            footer=self.footer,
        )
        return SitePage(html=html)

    def _run_row(self, address: str, run: StoredRun) -> dict[str, Any]:
        compared = self.link(address, addresses.compare_page(run.id))
        return run_view(
            run,
            self.results.find,
            self.link(address, addresses.run_page(run.id)),
            "" if run.problem else compared,
        )

    def _page_links(self, address: str, number: int) -> list[dict[str, str]]:
        count = -(-len(self.listing.runs) // RUNS_PER_PAGE)
        near = sorted({1, number - 1, number, number + 1, count} & set(range(1, count + 1)))
        if count < 2:
            return []
        return [
            {
                "text": f"page {each}",
                "href": "" if each == number else self.link(address, addresses.runs_page(each)),
            }
            for each in near
        ]

    def _list_notes(self) -> list[str]:
        if not self.listing.left_out:
            return []
        return [f"{self.listing.left_out:,} older runs are not listed."]

    def _set(self, summary: SetSummary) -> SitePage:
        home = self.link(addresses.set_page(summary.path), addresses.HOME)
        try:
            page = self.store.render_history(summary.path)
        except NothingSelected:
            return message_page("No history yet", [f"{summary.path}: no run is finished."], home)
        return SitePage(html=add_crumb(page, [("All sets", home)]))

    def _run(self, run: StoredRun) -> SitePage:
        address = addresses.run_page(run.id)
        home = self.link(address, addresses.HOME)
        if run.problem:
            return message_page("This run cannot be read", [run.problem], home)
        if not run.finished:
            return self._unfinished(run, address, home)
        links = (
            ("All sets", home),
            (f"history of {run.evalset}", self.link(address, addresses.set_page(run.evalset_path))),
            ("changes since the baseline", self._baseline_link(address, run)),
            ("compare", self.link(address, addresses.compare_page(run.id))),
        )
        known = [(title, href) for title, href in links if href]
        return SitePage(html=add_crumb(self._render_report(run, address), known))

    def _unfinished(self, run: StoredRun, address: str, home: str) -> SitePage:
        live = self.describe_live(address)
        word = "running" if run.is_alive else "interrupted"
        html = render_page(
            "live_run.html.j2",
            styles=("view.css",),
            scripts=("view.js",),
            connects=self.follows,
            title=f"{run.evalset}: {word}",
            home=home,
            id=run.id,
            evalset=run.evalset,
            outcome=word,
            word=word,
            reason=_UNFINISHED_TEXTS[word],
            resume="" if run.is_alive else self.store.suggest_resume(run.id),
            stored_href=self.link(address, addresses.case_page(run.id, STORED)),
            version=self.version,
            events=f"../events?page={quote(address)}" if self.follows else "",
            live=live.panels,
            figures=live.figures,
        )
        return SitePage(html=html)

    def _stored_part(self, run: StoredRun) -> SitePage:
        """Return the report on what is stored of an unfinished run."""
        address = addresses.case_page(run.id, STORED)
        links = [
            ("All sets", self.link(address, addresses.HOME)),
            (run.id, self.link(address, addresses.run_page(run.id))),
        ]
        return SitePage(html=add_crumb(self._render_report(run, address), links))

    def _render_report(self, run: StoredRun, address: str) -> str:
        names = addresses.name_cases(self.store.list_case_ids(run.id))

        def find_case_page(case_id: str) -> str:
            return self.link(address, addresses.case_page(run.id, names[case_id]))

        return self.store.render_report(run.id, find_case_page)

    def _case(self, run: StoredRun, name: str) -> SitePage | None:
        address = addresses.case_page(run.id, name)
        names = addresses.name_cases(self.store.list_case_ids(run.id))
        case_id = next((each for each, own in names.items() if own == name), None)
        if case_id is None:
            return None
        html = self.store.render_case(
            run.id,
            case_id,
            home=self.link(address, addresses.HOME),
            run_href=self.link(address, addresses.run_page(run.id), f"case-{case_id}"),
        )
        return SitePage(html=html)

    def _diff(self, run: StoredRun, base: StoredRun | None) -> SitePage:
        base_id = base.id if base else BASELINE
        address = addresses.diff_page(base_id, run.id)
        links = [("All sets", self.link(address, addresses.HOME))]
        sides = [each for each in (base, run) if each is not None]
        links += [(each.id, self.link(address, addresses.run_page(each.id))) for each in sides]
        return SitePage(html=add_crumb(self.store.render_diff(base_id, run.id), links))

    def _compare(self, run: StoredRun) -> SitePage:
        address = addresses.compare_page(run.id)
        others = [each for each in self.listing.runs if each.id != run.id and not each.problem]
        links = ComparisonLinks(
            home=self.link(address, addresses.HOME),
            run=self.link(address, addresses.run_page(run.id)),
            baseline=self._baseline_link(address, run),
            others={
                each.id: self.link(address, addresses.diff_page(each.id, run.id)) for each in others
            },
        )
        return SitePage(html=render_comparisons(run, others, links, self.results.find))
