"""`evalkit runs`: list the stored runs of all sets, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evalkit.commands.stored_runs import read_stored_result
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.evalset.project import Project
from evalkit.report.runs import ListedRun, ListedRuns
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.run_outline import RunOutline, extend_outline, read_run_outline
from evalkit.store.runs import list_run_ids, runs_folder
from evalkit.store.seal import Seal


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFilter:
    """Which runs to list: those of a set (its name or path) and a version, and with `failed` only failed ones."""

    evalset: str | None = None
    version: str | None = None
    failed: bool = False


def runs(wanted: RunFilter, limit: int, context: Context) -> ListedRuns:
    """Return the newest `limit` runs that a filter keeps, and whether there are older ones.

    Raises:
        NothingSelected: no run is kept.
        StoreError: the folder of runs cannot be read.
    """
    project = Project.open(context)
    kept = list(islice(_iter_runs(wanted, project), limit + 1))
    if not kept:
        known = list_run_ids(project.root)
        advice = (
            f"None of the {len(known):,} stored runs is like that. See all with: evalkit runs"
            if known
            else "Make one with: evalkit run EVALSET"
        )
        raise NothingSelected(f"no stored run to list. {advice}")
    return ListedRuns(runs=tuple(kept[:limit]), has_more=len(kept) > limit)


def _iter_runs(wanted: RunFilter, project: Project) -> Iterator[ListedRun]:
    seal = Seal(read_store_key(project.environ))
    for run_id in reversed(list_run_ids(project.root)):
        folder = runs_folder(project.root) / run_id
        outline = read_run_outline(folder)
        if not _is_wanted(outline, wanted, project):
            continue
        result = read_stored_result(folder, seal) if outline.is_gated else None
        if result is None:
            if not wanted.failed:
                yield extend_outline(outline, ListedRun)
        elif result.outcome == "fail" or not wanted.failed:
            yield extend_outline(
                outline,
                ListedRun,
                outcome=result.outcome,
                reason=result.reason,
                word=result.word,
            )


def _is_wanted(outline: RunOutline, wanted: RunFilter, project: Project) -> bool:
    if wanted.version not in (None, outline.version):
        return False
    if wanted.evalset is None or wanted.evalset == outline.evalset:
        return True
    path = project.relative(project.cwd / Path(wanted.evalset))
    return path == outline.evalset_path
