"""`evalkit history`: the scores of a set by version and date, from stored runs and baselines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalkit.commands.stored_runs import read_stored_result
from evalkit.compare.history import HistoryRow, build_history_row
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError, InvalidInput, NothingSelected
from evalkit.core.files import lock_folder, path_exists, read_stored_file, write_atomically
from evalkit.core.format import format_count
from evalkit.core.git import read_git
from evalkit.core.run import Run
from evalkit.core.serialization import canonical_json, parse_stored_json, to_json_value
from evalkit.evalset.base_version import baseline_run_id
from evalkit.evalset.project import Project
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.baseline import baseline_path, parse_baseline
from evalkit.store.runs import SUMMARY_FILE, list_run_ids, read_header, read_run, runs_folder
from evalkit.store.seal import Seal

MAX_BASELINES = 30
"""Maximum number of baseline versions to read from git."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The rows of one set, oldest first; `notes` name what could not be read."""

    evalset: str
    rows: tuple[HistoryRow, ...]
    notes: tuple[str, ...] = ()


class HistoryFilter(NamedTuple):
    """Which rows to return: those of an agent, and of these the newest `limit`."""

    agent: str | None
    limit: int


def read_history(
    evalset: Path, wanted: HistoryFilter, record: Path | None, context: Context
) -> History:
    """Return the wanted rows of a set; with `record`, also add new rows to that file.

    The file has one line per run. Existing lines never change, so the files of two branches merge
    by taking the lines of both.

    Raises:
        InvalidInput: the set or the file is broken, or no run is of the agent.
        NothingSelected: there is no row.
        StoreError: the file could not be written.
    """
    project = Project.open(context, evalset)
    name = project.load_valid(evalset).name
    path, notes = project.relative(evalset), list[str]()
    baselines = _read_baselines(baseline_path(project.root / path, name), project, notes)
    recorded = [build_history_row(run, "baseline") for run in baselines]
    found = (*recorded, *_read_runs(path, project, notes))
    rows = _merge_rows(path, (), found) if record is None else _record_rows(record, path, found)
    if not rows:
        raise NothingSelected(f"{evalset}: no stored run. Make one with: evalkit run {evalset}")
    # The sort is stable: runs of the same second keep their order.
    ordered = sorted(rows.values(), key=lambda row: row.created)
    newest = _select_agent(ordered, wanted.agent)[-wanted.limit :]
    # With --against, the other agent's run is the baseline of a run, and was not decided itself.
    partners = {baseline_run_id(row.id) for row in newest}
    decided = [
        row if row.id in partners else _add_result(row, baselines, project) for row in newest
    ]
    if again := sum(row.result is not None and row.result.is_recomputed for row in decided):
        notes.append(
            f"{format_count(again, 'run')} stored no result. Their own thresholds were applied now, with "
            f"the newest baseline that is not newer than the run."
        )
    return History(evalset=name, rows=tuple(decided), notes=tuple(notes))


def _select_agent(rows: list[HistoryRow], agent: str | None) -> list[HistoryRow]:
    """Return the rows of an agent, or all rows if none is named."""
    if agent is None:
        return rows
    found = [row for row in rows if row.agent == agent]
    if not found:
        known = dict.fromkeys(row.agent for row in reversed(rows))
        near = get_close_matches(agent, known, n=1, cutoff=0.4)
        advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
        raise InvalidInput.single(f"no run of this set is of the agent {agent!r}. {advice}")
    return found


def _add_result(row: HistoryRow, baselines: Sequence[Run], project: Project) -> HistoryRow:
    """Return the row of a run with its gate result, if the run stored none and can still be read."""
    if row.kind != "run" or row.result is not None:
        return row
    folder = runs_folder(project.root) / row.id
    if not path_exists(folder / SUMMARY_FILE):
        return row
    # Imported here, because it loads numpy, which stored results do not need.
    from evalkit.commands.stored_result import decide_again  # noqa: PLC0415

    try:
        run = read_run(folder)
        # A shard is no whole run.
        return (
            row if run.header.shard else replace(row, result=decide_again(run, baselines, project))
        )
    except EvalkitError:
        return row


def _merge_rows(
    evalset_path: str, recorded: Iterable[HistoryRow], found: Iterable[HistoryRow]
) -> dict[str, HistoryRow]:
    """Return the rows of a set by id; of two rows with one id, the recorded or first one counts.

    A row that was recorded without a gate result gets the result that is found.
    """
    rows = {row.id: row for row in recorded if row.evalset_path == evalset_path}
    for row in found:
        known = rows.setdefault(row.id, row)
        if known.result is None:
            rows[row.id] = replace(known, result=row.result)
    return rows


def _record_rows(
    record: Path, evalset_path: str, found: Sequence[HistoryRow]
) -> dict[str, HistoryRow]:
    """Add the rows that a file does not have yet, and return all rows of the set.

    The folder is locked meanwhile, so that several processes can record into one file.
    """
    if not found and not path_exists(record):
        return {}
    with lock_folder(Path(os.path.realpath(record)).parent):
        recorded = list(_read_recorded(record)) if path_exists(record) else []
        rows = _merge_rows(evalset_path, recorded, found)
        known = {row.id for row in recorded if row.evalset_path == evalset_path}
        fresh = [row for row in rows.values() if row.id not in known and not row.selection]
        if rows:
            lines = (canonical_json(to_json_value(row)) + "\n" for row in (*recorded, *fresh))
            write_atomically(record, "".join(lines))
    return rows


def _read_recorded(path: Path) -> Iterator[HistoryRow]:
    """Yield the rows of a history file; a merge can repeat an id, so only its first row counts."""
    known_ids: set[str] = set()
    for number, line in enumerate(read_stored_file(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.convert(parse_stored_json(line), HistoryRow, strict=True)
        except ValueError as error:
            raise InvalidInput.single(
                f"{path}:{number}: not a history row: {error}. Remove the line."
            ) from error
        if row.id not in known_ids:
            known_ids.add(row.id)
            yield row


def _read_baselines(path: Path, project: Project, notes: list[str]) -> list[Run]:
    """Return the current baseline, then its versions in git, the newest first."""
    versions = [path.read_bytes()] if path_exists(path) else []
    commits = read_git(
        path.parent, project.environ, "log", f"-{MAX_BASELINES}", "--format=%H", "--", path.name
    ).split()
    versions += [
        read_git(
            path.parent, project.environ, "show", "--no-textconv", f"{sha.decode()}:./{path.name}"
        )
        for sha in commits
    ]
    found = []
    # The file usually equals its last commit, so remove duplicates.
    for content in dict.fromkeys(filter(None, versions)):
        try:
            found.append(parse_baseline(path, content))
        except EvalkitError as error:
            notes.append(str(error))
    return found


def _read_runs(evalset_path: str, project: Project, notes: list[str]) -> Iterator[HistoryRow]:
    """Yield the row of every finished run of the set; compute it if the run has none stored."""
    seal = Seal(read_store_key(project.environ))
    for run_id in list_run_ids(project.root):
        folder = runs_folder(project.root) / run_id
        try:
            row = _read_stored_row(folder)
            if row is None and read_header(folder).evalset_path == evalset_path:
                run = read_run(folder)
                row = build_history_row(run) if run.finished else None
        except EvalkitError as error:
            notes.append(str(error))
            continue
        if row is not None and row.evalset_path == evalset_path:
            yield replace(row, result=read_stored_result(folder, seal))


def _read_stored_row(folder: Path) -> HistoryRow | None:
    """Return the row in a finished run's summary; None if it must be computed from the run."""
    path = folder / SUMMARY_FILE
    if not path_exists(path):
        return None
    try:
        return msgspec.convert(
            parse_stored_json(read_stored_file(path))["row"], HistoryRow, strict=True
        )
    except (ValueError, KeyError, TypeError):
        return None
