"""`evalkit view`: show the store as pages, served on loopback or exported as files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.commands.evaluation import evaluate_stored_run
from evalkit.commands.stored_runs import read_stored_result
from evalkit.compare.history import HistoryResult
from evalkit.compare.history_result import build_history_result
from evalkit.core.context import Context
from evalkit.core.files import path_exists
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.base_version import baseline_run_id
from evalkit.evalset.project import Project
from evalkit.report.html.case_page import render_case
from evalkit.report.html.report import render_html
from evalkit.report.model import CaseDetails, Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.baseline import baseline_path, read_baseline
from evalkit.store.last_command import find_last_command
from evalkit.store.refs import (
    BaselineChoice,
    choose_stored_baseline,
    find_run_folder,
    read_baseline_for,
)
from evalkit.store.run_spans import read_run_spans
from evalkit.store.runs import read_header, read_run, runs_folder
from evalkit.store.seal import Seal
from evalkit.view import addresses
from evalkit.view.access import Access
from evalkit.view.catalog import StoredRun
from evalkit.view.export import ExportCounts, export_site
from evalkit.view.loopback import open_sockets
from evalkit.view.progress import Passes, count_baseline_passes
from evalkit.view.server import build_url, serve
from evalkit.view.site import BASELINE
from evalkit.view.viewer import Viewer


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRenderers:
    """How other commands render their pages: the history of a set in a file, and two runs compared."""

    history: Callable[[Path, Context], str]
    diff: Callable[[str, str, Context], str]


class ProjectStore:
    """The store of the project in the current folder, as the commands read it.

    Each reading opens the project again, because its files may change while the pages are open.
    """

    def __init__(self, context: Context, renderers: PageRenderers) -> None:
        self._context = replace(context, say=lambda _: None)
        self._renderers = renderers
        self.root = Project.open(context).root

    def render_report(self, run_id: str, find_case_page: Callable[[str], str]) -> str:
        """Return the page with the report on a run, with the gate that its set has today."""
        return render_html(self._read_report(run_id), find_case_page)

    def _read_report(self, run_id: str) -> Report:
        project = Project.open(self._context)
        return evaluate_stored_run(run_id, BaselineChoice(), None, project, self._context)

    def read_result(self, run: StoredRun) -> HistoryResult | None:
        """Return the gate result of a finished run: the stored one, else that of its report."""
        seal = Seal(read_store_key(self._context.environ))
        stored = read_stored_result(run.folder, seal)
        if stored is not None:
            return stored
        report = self._read_report(run.id)
        result = build_history_result(report.gate_result, report.run, report.baseline)
        return replace(result, is_recomputed=True)

    def list_case_ids(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of a run, in the order of the set."""
        return [case.id for case in self._read_header(run_id).cases]

    def list_failing_cases(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of which a trial fails or has an error, in the order of the set."""
        trials = read_run(runs_folder(self.root) / run_id).trials
        return list(dict.fromkeys(trial.case_id for trial in trials if not trial.is_good))

    def render_case(self, run_id: str, case_id: str, *, home: str, run_href: str) -> str:
        """Return the page of a case, with links to the home page and to the report of its run."""
        project = Project.open(self._context)
        run = read_run(runs_folder(self.root) / run_id, only_case=case_id)
        own = baseline_path(self.root / run.header.evalset_path, run.header.evalset)
        choice = choose_stored_baseline(run, BaselineChoice(only_case=case_id))
        shown = CaseDetails(
            run=run,
            case=next(case for case in run.header.cases if case.id == case_id),
            baseline=read_baseline_for(run, choice, own, root=project.root, cwd=project.cwd),
            spans=read_run_spans(run, case_id),
        )
        return render_case(shown, home=home, run_href=run_href)

    def render_diff(self, base: str, candidate: str) -> str:
        """Return the page that compares two runs; `base` may be `baseline`."""
        if base == BASELINE and self._read_header(candidate).against:
            base = baseline_run_id(candidate)
        return self._renderers.diff(base, candidate, self._context)

    def render_history(self, evalset_path: str) -> str:
        """Return the page with the history of a set."""
        return self._renderers.history(self.root / evalset_path, self._context)

    def has_baseline(self, run: StoredRun) -> bool:
        """Return whether there is a baseline to compare a run with."""
        return path_exists(baseline_path(self.root / run.evalset_path, run.evalset)) or path_exists(
            runs_folder(self.root) / baseline_run_id(run.id)
        )

    def count_baseline_passes(self, header: RunHeader) -> Mapping[str, Passes]:
        """Return the passes of each case in the baseline that a run will be compared with."""
        path = baseline_path(self.root / header.evalset_path, header.evalset)
        baseline: Run | None = None
        if header.against:
            # The other agent takes turns with this one, so its run is not complete either.
            folder = runs_folder(self.root) / baseline_run_id(header.id)
            baseline = read_run(folder) if path_exists(folder) else None
        elif path_exists(path):
            baseline = read_baseline(path)
        return count_baseline_passes(baseline, header)

    def suggest_resume(self, run_id: str) -> str:
        """Return the command that continues an unfinished run."""
        header = self._read_header(run_id)
        folder = runs_folder(self.root) / run_id
        run = Run(header=header, trials=(), path=str(folder), finished=False)
        return CommandHints.of(Project.open(self._context)).resume(run)

    def _read_header(self, run_id: str) -> RunHeader:
        return read_header(runs_folder(self.root) / run_id)


def view(
    store: ProjectStore,
    port: int | None,
    run: str | None,
    context: Context,
    on_start: Callable[[str, str], object],
) -> None:
    """Serve the pages of a store until the process is asked to end.

    Args:
        store: the store.
        port: the port; None for any that is free.
        run: the run whose page is the first one; None for the home page.
        context: the environment of the command.
        on_start: is called with the address to print, and one that works once.

    Raises:
        InvalidInput: the port is in use, or there is no such run.
        StoreError: the store cannot be read.
    """
    first = addresses.HOME if run is None else _find_run_page(run, store)
    sockets = open_sockets(port)
    access = Access(port=sockets[0].getsockname()[1], first_page=first)
    place = f"evalkit view · {_short_path(store.root, context)}"
    viewer = Viewer(store, place=place, footer=_FOOTER)

    def start() -> None:
        single_use = access.issue_single_use()
        on_start(build_url(access, access.token), build_url(access, single_use))

    try:
        asyncio.run(serve(viewer, sockets, access, start, context.say))
    finally:
        for each in sockets:
            each.close()


_FOOTER = "These pages only read the store. They are served to this computer alone."


def _find_run_page(ref: str, store: ProjectStore) -> str:
    if ref == "latest" and len(find_last_command(store.root)) > 1:
        return addresses.HOME  # it lists the runs of all sets of the last command
    return addresses.run_page(find_run_folder(ref, store.root).name)


def _short_path(root: Path, context: Context) -> str:
    home = context.environ.get("HOME", "")
    path = str(root)
    is_below = bool(home) and root.is_relative_to(home)
    return os.path.join("~", os.path.relpath(path, home)) if is_below else path  # noqa: PTH118


def export(store: ProjectStore, folder: Path, most: int, context: Context) -> ExportCounts:
    """Write the pages of a store to a folder, as files that need no server.

    Args:
        store: the store.
        folder: the folder; it is created, or is that of an earlier export.
        most: how many runs to export, the newest ones.
        context: the environment of the command.

    Raises:
        InvalidInput: the folder has other files.
        StoreError: the store cannot be read, or the folder not be written.
    """
    place = f"exported {context.now():%Y-%m-%d %H:%M} UTC"
    return export_site(store, folder, most=most, place=place)
