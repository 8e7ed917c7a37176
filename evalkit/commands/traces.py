"""`evalkit traces`: the stored traces that a question is about, or what a question in SQL finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists
from evalkit.core.project import find_project_root
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import HEADER_FILE, TRIALS_FILE, list_run_ids, runs_folder
from evalkit.store.span_file import COLUMNS_FILE, SPANS_FILE
from evalkit.trace.query import QueryResult, StoredRuns, TraceQuery


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTraces:
    """What was asked, and the traces found; `runs` is in how many runs spans were looked for."""

    question: TraceQuery
    answer: QueryResult
    runs: int


def find_traces(question: TraceQuery, refs: Sequence[str], world: Context) -> FoundTraces:
    """Look for traces in the stored runs, or in those that are named.

    Raises:
        InvalidInput: a run that is named does not exist.
    """
    folders = _find_folders(refs, world)
    columns, lines = _sort_folders(folders)
    if not columns and not lines:
        nothing = QueryResult(columns=(), rows=(), total=0)
        return FoundTraces(question=question, answer=nothing, runs=0)
    from evalkit.trace.search import query_traces  # noqa: PLC0415 - DuckDB, if there are spans

    stored = StoredRuns(folders=folders, parquet_folders=columns, jsonl_folders=lines)
    answer = query_traces(question, stored)
    return FoundTraces(question=question, answer=answer, runs=len(columns) + len(lines))


def query_traces_sql(sql: str, refs: Sequence[str], limit: int, world: Context) -> QueryResult:
    """Ask about the views runs, trials, scores and spans.

    Raises:
        InvalidInput: no such run, no run at all, or a statement that cannot be taken.
    """
    folders = _find_folders(refs, world)
    if not folders:
        raise InvalidInput.single("no stored runs. Make one with: evalkit run EVALSET")
    from evalkit.trace.search import query_sql  # noqa: PLC0415 - as above

    columns, lines = _sort_folders(folders)
    return query_sql(
        sql, StoredRuns(folders=folders, parquet_folders=columns, jsonl_folders=lines), limit
    )


def _find_folders(refs: Sequence[str], world: Context) -> tuple[Path, ...]:
    root = find_project_root(world.cwd, world.cwd)
    if refs:
        named = [world.cwd / ref for ref in refs]
        found = [
            path.resolve() if path_exists(path / HEADER_FILE) else find_run_folder(ref, root)
            for ref, path in zip(refs, named, strict=True)
        ]
    else:
        found = [runs_folder(root) / run_id for run_id in list_run_ids(root)]
    return tuple(dict.fromkeys(folder for folder in found if path_exists(folder / TRIALS_FILE)))


def _sort_folders(folders: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The folders with spans by columns, and those where they only stand line by line."""
    columns = tuple(folder for folder in folders if path_exists(folder / COLUMNS_FILE))
    others = set(folders) - set(columns)
    lines = tuple(
        folder for folder in folders if folder in others and path_exists(folder / SPANS_FILE)
    )
    return columns, lines
