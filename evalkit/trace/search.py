"""Search stored runs with DuckDB, by flags or in SQL. A query can read these runs and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import duckdb

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.literals import Json
from evalkit.trace import tables
from evalkit.trace.query import QueryResult, StoredRuns, TraceQuery


def query_traces(query: TraceQuery, stored: StoredRuns) -> QueryResult:
    """Return the traces that meet the conditions, newest run first.

    Raises:
        StoreError: the files of a run are damaged.
    """
    sql, values = build_sql(query)
    try:
        with _open_views(stored, sql) as connection:
            names, rows = _fetch(connection, sql, values, query.limit)
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise StoreError(
            f"cannot search the stored runs: {reason}. Name intact runs with --run. You may delete a "
            "broken spans.parquet: the spans.jsonl next to it has the same spans."
        ) from error
    total = rows[0][-1] if rows else 0
    return QueryResult(columns=names[:-1], rows=tuple(row[:-1] for row in rows), total=total)


def query_sql(sql: str, stored: StoredRuns, limit: int) -> QueryResult:
    """Return the rows of a SELECT on the views runs, trials, scores and spans.

    Raises:
        InvalidInput: it is not one SELECT, or DuckDB rejects it.
    """
    try:
        with _open_views(stored, sql) as connection:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InvalidInput.single(
                    "--sql takes one SELECT. Query the views runs, trials, scores and spans."
                )
            names, rows = _fetch(connection, sql, [], limit + 1)
    except duckdb.Error as error:
        raise InvalidInput.single(f"--sql: {str(error).strip()}") from error
    total = None if len(rows) > limit else len(rows)
    return QueryResult(columns=names, rows=tuple(rows[:limit]), total=total)


@contextmanager
def _open_views(stored: StoredRuns, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that has the views named in `sql` and can read the runs' folders only."""
    views: dict[str, Callable[[], str]] = {
        "runs": lambda: tables.select_runs(stored.folders),
        "trials": lambda: tables.select_trial_view(stored.folders),
        "scores": lambda: tables.select_scores(stored.folders),
        "spans": lambda: tables.select_spans(stored.parquet_folders, stored.jsonl_folders),
    }
    allowed = ", ".join(tables.quote_sql(str(folder)) for folder in stored.folders)
    with duckdb.connect() as connection:
        for name, build_select in views.items():
            # DuckDB opens the files of a view when it is created, which takes long for many runs.
            if name in sql.lower():
                connection.execute(f"create view {name} as {build_select()}")
        # The order matters: external access and the lock close the door to the settings before them.
        for setting in (
            f"allowed_directories = [{allowed}]",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "python_enable_replacements = false",
            "temp_directory = ''",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"set {setting}")
        yield connection


def _fetch(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[object], limit: int
) -> tuple[tuple[str, ...], list[tuple[Json, ...]]]:
    found = connection.execute(sql, values)
    names = tuple(column[0] for column in found.description or ())
    return names, [tuple(map(_to_json, row)) for row in found.fetchmany(limit)]


def _to_json(value: Any) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        value = float(value)
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return str(value)


def build_sql(query: TraceQuery) -> tuple[str, list[object]]:
    """Return a query by flags as SQL with `?` for its values, and the values."""
    trial = _drop_unset(("agent_version = ?", query.agent_version), ("case_id = ?", query.case_id))
    called = _drop_unset(("tool = ? and kind = 'tool'", query.tool), ("model = ?", query.model))
    # The span of a tool names no model: given both, the model may be in any span of the trace.
    span, model = called[:1], called[1:]
    if called:
        error, duration = "error_type", _drop_unset(("duration_s > ?", query.slower_than_s))
    else:
        error, duration = "coalesce(nullif(error_type, ''), trial_error_type)", []
        trial += _drop_unset(("trial_latency_s > ?", query.slower_than_s))
    same_error = f"{_error_stem(error)} = {_error_stem('?')}"
    span += [*_drop_unset((same_error, query.error_type)), *duration]
    elsewhere = [
        *model,
        *_drop_unset(("user_id = ?", query.user), ("session_id = ?", query.session)),
    ]
    all_of_trial = [*(["not passed"] if query.failed else []), *(sql for sql, _ in trial)]
    all_of_span = [f"({sql})" for sql, _ in span]
    conditions = [
        " and ".join([*all_of_trial, *all_of_span]) or "true",
        *(sql for sql, _ in elsewhere),
    ]
    keys = [f"select distinct run, case_id, trial from spans where {each}" for each in conditions]  # noqa: S608
    # Without a condition on spans, each trace is shown with its first failed span.
    hit = " and ".join(all_of_span) or "error_type <> ''"
    sql = f"""
        with page as (
            select *, count(*) over () as total from ({" intersect ".join(keys)})
            order by run desc, case_id, trial limit {query.limit}
        ), found as (
            select spans.*, total, case when {hit} then struct_pack(start_s := start_s, name :=
                coalesce(nullif(tool, ''), name), duration_s := duration_s,
                error_type := error_type, error := error) end as hit
            from spans join page using (run, case_id, trial)
        )
        select run, agent_version, case_id, trial, state, passed, trial_latency_s as latency_s,
            count(*) filter (where kind in ('model', 'tool')) as steps,
            count(*) filter (where kind = 'tool') as tool_calls,
            min(hit) as step, any_value(total) as total
        from found
        group by run, agent_version, case_id, trial, state, passed, trial_latency_s
        order by run desc, case_id, trial
    """  # noqa: S608 - the user's values are parameters
    return sql, [value for _, value in (*trial, *span, *elsewhere, *span)]


def _drop_unset(*conditions: tuple[str, object]) -> list[tuple[str, object]]:
    return [(sql, value) for sql, value in conditions if value is not None]


def _error_stem(column: str) -> str:
    """Return SQL that makes `Timeout`, `timeout` and `TimeoutError` equal."""
    return f"regexp_replace(lower({column}), '(error|exception)$', '')"
