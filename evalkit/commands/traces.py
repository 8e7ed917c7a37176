"""`evalkit traces`: find stored traces by filters, or query them with SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import open_stored_file, path_exists
from evalkit.evalset.project import Project
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import HEADER_FILE, SPANS_FILE, TRIALS_FILE, list_run_ids, runs_folder
from evalkit.store.span_file import COLUMNS_FILE
from evalkit.trace.query import QueryResult, StoredRuns, TraceQuery


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTraces:
    """The traces found, and the number of runs whose spans were searched."""

    answer: QueryResult
    runs: int


def find_traces(query: TraceQuery, refs: Sequence[str], context: Context) -> FoundTraces:
    """Search for traces in the runs of `refs`, or in all stored runs if it is empty.

    Raises:
        InvalidInput: a run of `refs` does not exist.
    """
    stored = _find_stored_runs(refs, context)
    runs = len(stored.parquet_folders) + len(stored.jsonl_folders)
    if not runs:
        nothing = QueryResult(columns=(), rows=(), total=0)
        return FoundTraces(answer=nothing, runs=0)
    from evalkit.trace.search import query_traces  # noqa: PLC0415 - DuckDB, if there are spans

    return FoundTraces(answer=query_traces(query, stored), runs=runs)


def query_traces_sql(sql: str, refs: Sequence[str], limit: int, context: Context) -> QueryResult:
    """Query the views runs, trials, scores and spans.

    Raises:
        InvalidInput: no such run, no run at all, or a statement that DuckDB rejects.
    """
    # To find out which runs have spans takes as long as most queries.
    stored = _find_stored_runs(refs, context, with_spans="spans" in sql.lower())
    if not stored.folders:
        raise InvalidInput.single("no stored runs. Make one with: evalkit run EVALSET")
    from evalkit.trace.search import query_sql  # noqa: PLC0415 - as above

    return query_sql(sql, stored, limit)


def _find_stored_runs(
    refs: Sequence[str], context: Context, *, with_spans: bool = True
) -> StoredRuns:
    """Return the folders of runs, grouped by the file format of their spans if `with_spans`."""
    root = Project.open(context).root
    if refs:
        named = [context.cwd / ref for ref in refs]
        found = [
            path.resolve() if path_exists(path / HEADER_FILE) else find_run_folder(ref, root)
            for ref, path in zip(refs, named, strict=True)
        ]
    else:
        found = [runs_folder(root) / run_id for run_id in list_run_ids(root)]
    folders = tuple(dict.fromkeys(one for one in found if path_exists(one / TRIALS_FILE)))
    if not with_spans:
        return StoredRuns(folders=folders, parquet_folders=(), jsonl_folders=())
    has_columns = {folder: path_exists(folder / COLUMNS_FILE) for folder in folders}
    return StoredRuns(
        folders=folders,
        parquet_folders=tuple(folder for folder in folders if has_columns[folder]),
        jsonl_folders=tuple(
            folder
            for folder in folders
            if not has_columns[folder]
            and (path_exists(folder / SPANS_FILE) or _has_tool_calls(folder))
        ),
    )


def _has_tool_calls(folder: Path) -> bool:
    """Return whether an answer of a run may have tool calls; this costs less than to query it."""
    with open_stored_file(folder / TRIALS_FILE) as stream:
        return any(b'"tool_calls":' in line for line in stream)
