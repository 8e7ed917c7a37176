"""Write the pages of a store as files: they link to each other, and work without a server."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evalkit.core.errors import EvalkitError, InvalidInput
from evalkit.core.files import path_exists, read_stored_file, write_atomically
from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.core.serialization import parse_stored_json
from evalkit.store.runs import runs_folder
from evalkit.view import addresses
from evalkit.view.catalog import Catalog, Listing, StoredRun
from evalkit.view.live import LiveRuns
from evalkit.view.messages import SitePage, message_page
from evalkit.view.overview import group_sets
from evalkit.view.records import StoreReader
from evalkit.view.results import Results
from evalkit.view.site import BASELINE, RUNS_PER_PAGE, STORED, Site

MANIFEST = "evalkit-export.json"
"""The file that lists the others. It marks a folder that an export may replace."""

MAX_CASE_PAGES = 500
"""Pages of single cases. Every other case is shown in the report of its run."""

_PAGE = re.compile(r"(?:[\w%~@+=,-][\w.%~@+=,-]*/){0,3}[\w%~@+=,-][\w.%~@+=,-]*\.html")
_SCHEMA = "evalkit.export/v1"


class ExportCounts(NamedTuple):
    """How many runs and files were exported, and what was left out, as sentences."""

    runs: int
    files: int
    left_out: tuple[str, ...]


def export_site(store: StoreReader, folder: Path, *, most: int, place: str) -> ExportCounts:
    """Write the pages of the newest runs to a folder.

    Args:
        store: the store.
        folder: the folder; it is created, or is that of an earlier export.
        most: how many runs to export.
        place: what the home page says about where it comes from.

    Raises:
        InvalidInput: the folder has other files.
        EvalkitError: the store cannot be read, or the folder not be written.
    """
    earlier = _read_manifest(folder)
    _refuse_links(folder)
    listing = Catalog(store.root).read()
    kept = _choose_runs(listing, most)
    if not kept.runs:
        raise InvalidInput.single(
            f"{runs_folder(store.root)}: no stored runs. Make one with: evalkit run EVALSET"
        )
    results = Results(store.read_result)
    results.compute_all(kept.runs, None)
    results.compute_all((run for each in group_sets(listing) for run in each.course), None)
    cases, left_out = _choose_cases(store, kept)
    notes = [*_describe_left_out(listing, kept), *left_out]
    included = set(_list_pages(store, kept, cases))
    site = Site(
        store=store,
        listing=kept,
        whole=listing,
        results=results,
        live=LiveRuns(store.count_baseline_passes).describe,
        place=f"evalkit · {place}",
        footer="Exported by evalkit. The pages need no network and no server.",
        notes=notes,
        includes=included.__contains__,
    )
    # First, so that a later export knows every file, even if this one ends early.
    _write_manifest(folder, included | earlier)
    for address in sorted(included):
        write_atomically(folder / address, _render(site, address).html)
    for address in earlier - included:
        with contextlib.suppress(OSError):
            (folder / address).unlink()
    _write_manifest(folder, included)
    return ExportCounts(len(kept.runs), len(included), tuple(notes))


def _render(site: Site, address: str) -> SitePage:
    """Return a page; one that cannot be read says why, and does not end the export."""
    home = addresses.relative_link(address, addresses.HOME)
    try:
        page = site.render(address)
    except EvalkitError as error:
        return message_page("This cannot be shown", str(error).splitlines(), home)
    return page or message_page("Not found", ["It was deleted during the export."], home)


def _choose_runs(listing: Listing, most: int) -> Listing:
    """Return the newest runs, at least one of each set if there is space, newest first."""
    newest = {each.runs[0].id for each in group_sets(listing)}
    ranked = sorted(listing.runs, key=lambda run: run.id not in newest)
    kept = {run.id for run in ranked[:most]}
    return Listing(runs=tuple(run for run in listing.runs if run.id in kept))


def _choose_cases(
    store: StoreReader, listing: Listing
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the cases that get a page, by run id: those that do not pass, of the newest runs first.

    The second value says how many are left out.
    """
    chosen: dict[str, dict[str, str]] = {}
    space, left = MAX_CASE_PAGES, 0
    for run in listing.runs:
        with contextlib.suppress(EvalkitError):
            wanted = store.list_failing_cases(run.id)
            names = addresses.name_cases(store.list_case_ids(run.id))
            chosen[run.id] = {case_id: names[case_id] for case_id in wanted[:space]}
            left += len(wanted) - len(chosen[run.id])
            space -= len(chosen[run.id])
    if not left:
        return chosen, []
    count = format_count(left, "failing case")
    return chosen, [f"{count} of older runs have no page; the reports of these runs show them."]


def _list_pages(
    store: StoreReader, listing: Listing, cases: dict[str, dict[str, str]]
) -> Iterator[str]:
    """Yield the address of every page of an export."""
    for number in range(1, -(-len(listing.runs) // RUNS_PER_PAGE) + 1):
        yield addresses.runs_page(number)
    for summary in group_sets(listing):
        yield addresses.set_page(summary.path)
    for run in listing.runs:
        yield addresses.run_page(run.id)
        for name in cases.get(run.id, {}).values():
            yield addresses.case_page(run.id, name)
        if not run.problem and not run.finished:
            yield addresses.case_page(run.id, STORED)
        if run.finished:
            bases = [BASELINE] if store.has_baseline(run) else []
            if (before := _find_predecessor(listing, run)) is not None:
                bases.append(before.id)
            yield from (addresses.diff_page(base, run.id) for base in bases)
            if bases:
                yield addresses.compare_page(run.id)


def _find_predecessor(listing: Listing, run: StoredRun) -> StoredRun | None:
    """Return the finished run of the same set before a run."""
    same = listing.of_set(run.evalset_path)
    older = same[same.index(run) + 1 :]
    return next((each for each in older if each.finished), None)


def _describe_left_out(listing: Listing, kept: Listing) -> list[str]:
    left = len(listing.runs) + listing.left_out - len(kept.runs)
    notes = ["Each run is compared with the baseline and with the run before it."]
    if left:
        verb = "is" if left == 1 else "are"
        notes.append(f"{format_count(left, 'older run')} {verb} not exported.")
    return notes


def _refuse_links(folder: Path) -> None:
    """Refuse a folder that contains a link: a file written or removed through it would be elsewhere.

    Raises:
        InvalidInput: it contains one.
    """
    if not folder.is_dir():
        return
    for each in (folder, *folder.rglob("*")):
        if each.is_symlink() and each != folder:
            raise InvalidInput.single(
                f"{each}: is a symbolic link, which no export makes. Name a new folder."
            )


def _read_manifest(folder: Path) -> set[str]:
    """Return the files of an earlier export; empty for a new folder.

    Raises:
        InvalidInput: the folder has files of something else.
    """
    if not path_exists(folder):
        return set()
    if not folder.is_dir():
        raise InvalidInput.single(f"--export {folder}: is a file. Name a folder.")
    path = folder / MANIFEST
    if not path_exists(path):
        if any(folder.iterdir()):
            raise InvalidInput.single(
                f"--export {folder}: the folder has files that are no export. Name a new folder."
            )
        return set()
    try:
        stored = parse_stored_json(read_stored_file(path))
        names = [str(name) for name in stored["files"]] if stored["schema"] == _SCHEMA else None
    except (ValueError, KeyError, TypeError):
        names = None
    if names is None:
        raise InvalidInput.single(f"{path}: not the list of an export. Name a new folder.")
    # Only pages: somebody else could have written the list.
    return {name for name in names if _PAGE.fullmatch(name)}


def _write_manifest(folder: Path, files: set[str]) -> None:
    write_atomically(folder / MANIFEST, format_json({"schema": _SCHEMA, "files": sorted(files)}))
