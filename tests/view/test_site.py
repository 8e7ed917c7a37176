"""The list of a large store: it is paged, and what is not decided yet says so."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.core.errors import StoreError
from evalkit.core.serialization import canonical_json, to_json_value
from evalkit.store.run_lock import RunLock
from evalkit.store.runs import runs_folder
from evalkit.view.catalog import Catalog, Listing, StoredRun
from evalkit.view.live import LiveView
from evalkit.view.results import Results
from evalkit.view.site import RUNS_PER_PAGE, Site
from tests.support.run_samples import make_run
from tests.view.test_overview import result_of, stored


def site_of(runs: list[StoredRun], results: Results, left_out: int = 0) -> Site:
    store: Any = SimpleNamespace(root=Path())
    return Site(
        store=store,
        listing=Listing(runs=tuple(runs), left_out=left_out),
        results=results,
        live=lambda *_: LiveView(),
        place="here",
    )


def test_a_thousand_runs_are_on_twenty_pages() -> None:
    runs = [stored(f"r{number}", "s") for number in range(1_000)]
    site = site_of(runs, Results(lambda _: None), left_out=7)
    seen: list[str] = []
    for number in range(1, 21):
        page = site.render("index.html" if number == 1 else f"runs-{number}.html")
        assert page is not None
        links = re.findall(r'href="(?:runs/)(r\d+)\.html">r\d+</a>', page.html)
        assert len(links) == RUNS_PER_PAGE
        seen += links
        assert len(page.html) < 120_000
    assert seen == [run.id for run in runs]
    assert site.render("runs-21.html") is None
    assert site.render("runs-1.html") is None
    home = site.render("index.html")
    assert home is not None
    assert "7 older runs are not listed" in home.html


def test_a_result_that_takes_long_is_found_later() -> None:
    calls: list[str] = []

    def read(run: StoredRun) -> Any:
        calls.append(run.id)
        if run.id == "broken":
            raise StoreError("broken: its lines do not match")
        return result_of("pass").result

    runs = [stored(run_id, "s") for run_id in ("one", "two", "broken")]
    results = Results(read)
    before = site_of(runs, results)
    page = before.render("index.html")
    assert page is not None
    assert page.html.count("deciding ...") == 4, "each run, and the set"
    version = before.version
    left = results.compute_all(runs, -1.0)
    assert [run.id for run in left] == ["one", "two", "broken"]
    assert not results.compute_all(left, None)
    assert not results.compute_all(runs, None)
    assert calls == ["one", "two", "broken"], "each is read once"
    after = site_of(runs, results)
    assert after.version != version, "pages that follow the store are loaded again"
    page = after.render("index.html")
    assert page is not None
    assert page.html.count(">PASS<") == 3
    assert page.html.count(">no verdict<") == 1
    changed = replace(runs[0], marks=((1, 2, 3, 4),))
    assert results.find(changed).is_pending, "its files have changed"


def test_a_run_is_read_again_only_when_its_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run({"ok": {"a": [1]}})
    header = canonical_json(to_json_value(run.header))
    for name in ("first", "second"):
        folder = runs_folder(tmp_path) / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(header)
    os.utime(runs_folder(tmp_path) / "first" / "run.json", ns=(1, 1))
    catalog = Catalog(tmp_path)
    listing = catalog.read()
    assert [(each.id, each.state) for each in listing.runs] == [
        ("second", "unfinished"),
        ("first", "unfinished"),
    ]
    assert catalog.read().runs[0] is listing.runs[0]
    with RunLock(folder):
        assert catalog.read().runs[0].is_alive
    assert not catalog.read().runs[0].is_alive
    (folder / "run.json").write_text(header[:50])
    broken = catalog.read()
    assert broken.runs[0].state == "unreadable"
    assert broken.runs[1] is listing.runs[1]
    monkeypatch.setattr("evalkit.view.catalog.MAX_RUNS", 1)
    assert [each.id for each in Catalog(tmp_path).read().runs] == ["second"]
    assert Catalog(tmp_path).read().left_out == 1
