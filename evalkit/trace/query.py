"""A question about stored traces, by flags or in SQL, put to DuckDB; it can read runs and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.literals import Json
from evalkit.trace.tables import (
    quote_sql,
    select_jsonl_spans,
    select_no_spans,
    select_parquet_spans,
    select_runs,
    select_scores,
    select_trials,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRuns:
    """The folders of the runs asked about: all, those with spans by columns, those with spans by line."""

    folders: tuple[Path, ...]
    parquet_folders: tuple[Path, ...]
    jsonl_folders: tuple[Path, ...]


def query_traces(question: TraceQuery, stored: StoredRuns) -> QueryResult:
    """The traces that a question by flags is about, newest run first.

    Raises:
        StoreError: the files of a run are not those that it wrote.
    """
    sql, values = build_sql(question)
    try:
        with _open_views(stored, sql) as connection:
            names, rows = _fetch(connection, sql, values, question.limit)
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise StoreError(
            f"stored runs cannot be searched: {reason}. Name the runs that can with --run. A broken "
            "spans.parquet may be deleted: spans.jsonl beside it holds the same."
        ) from error
    total = rows[0][-1] if rows else 0
    return QueryResult(columns=names[:-1], rows=tuple(row[:-1] for row in rows), total=total)


def query_sql(sql: str, stored: StoredRuns, limit: int) -> QueryResult:
    """What a question in SQL finds.

    Raises:
        InvalidInput: it is not one SELECT, or DuckDB refuses it.
    """
    try:
        with _open_views(stored, sql) as connection:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InvalidInput.single(
                    "--sql takes one SELECT. Ask about the views runs, trials, scores and spans."
                )
            names, rows = _fetch(connection, sql, [], limit + 1)
    except duckdb.Error as error:
        raise InvalidInput.single(f"--sql: {str(error).strip()}") from error
    return QueryResult(
        columns=names, rows=tuple(rows[:limit]), total=None if len(rows) > limit else len(rows)
    )


@contextmanager
def _open_views(stored: StoredRuns, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the views that a question names, from which nothing but the runs' own files can be reached."""
    spans = [
        *([select_parquet_spans(stored.parquet_folders)] if stored.parquet_folders else []),
        *([select_jsonl_spans(stored.jsonl_folders)] if stored.jsonl_folders else []),
    ]
    views = {
        "runs": select_runs(stored.folders),
        "trials": f"select * exclude (scores, folder) from ({select_trials(stored.folders)})",  # noqa: S608
        "scores": select_scores(stored.folders),
        "spans": " union all ".join(spans) or select_no_spans(),
    }
    # What is not asked about would have to be looked into as well.
    views = {name: select for name, select in views.items() if name in sql.lower()}
    allowed = ", ".join(quote_sql(str(folder)) for folder in stored.folders)
    with duckdb.connect() as connection:
        for name, select in views.items():
            connection.execute(f"create view {name} as {select}")
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
    return names, [tuple(map(_as_json, row)) for row in found.fetchmany(limit)]


def _as_json(value: Any) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        value = float(value)
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return str(value)


_ERROR_STEM_SQL = "regexp_replace(lower({column}), '(error|exception)$', '')"


def build_sql(question: TraceQuery) -> tuple[str, list[object]]:
    """A question by flags as SQL with its values apart.

    What is asked of a step is asked of one and the same step.
    """
    of_trial: list[tuple[str, object]] = []
    of_step: list[tuple[str, object]] = []
    anywhere: list[tuple[str, object]] = []
    if question.agent_version is not None:
        of_trial.append(("agent_version = ?", question.agent_version))
    if question.case_id is not None:
        of_trial.append(("case_id = ?", question.case_id))
    if question.tool is not None:
        of_step.append(("tool = ? and kind = 'tool'", question.tool))
    if question.model is not None:
        (anywhere if of_step else of_step).append(("model = ?", question.model))
    about_step = bool(of_step)
    if question.error_type is not None:
        column = (
            "error_type" if about_step else "coalesce(nullif(error_type, ''), trial_error_type)"
        )
        spoken = _ERROR_STEM_SQL.format(column=column)
        of_step.append((f"{spoken} = {_ERROR_STEM_SQL.format(column='?')}", question.error_type))
    if question.slower_than_s is not None:
        column = "duration_s" if about_step else "trial_latency_s"
        (of_step if about_step else of_trial).append((f"{column} > ?", question.slower_than_s))
    if question.user is not None:
        anywhere.append(("user_id = ?", question.user))
    if question.session is not None:
        anywhere.append(("session_id = ?", question.session))
    failed = ["not passed"] if question.failed else []
    where = " and ".join([*failed, *(condition for condition, _ in of_trial)]) or "true"
    # Of a trace that is asked for by nothing in it, the first step that went wrong is shown.
    step = " and ".join(f"({condition})" for condition, _ in of_step) or "error_type <> ''"
    keys = [f"select distinct run, case_id, trial from spans where {where}"]  # noqa: S608
    values = [value for _, value in of_trial]
    if of_step:
        keys[0] += f" and {step}"
        values += [value for _, value in of_step]
    for condition, value in anywhere:
        keys.append(f"select distinct run, case_id, trial from spans where {condition}")  # noqa: S608
        values.append(value)
    sql = f"""
        with page as (
            select *, count(*) over () as total from ({" intersect ".join(keys)})
            order by run desc, case_id, trial limit {question.limit}
        ), told as (
            select spans.*, total, case when {step} then struct_pack(start_s := start_s, name :=
                coalesce(nullif(tool, ''), name), duration_s := duration_s,
                error_type := error_type, error := error) end as hit
            from spans join page using (run, case_id, trial)
        )
        select run, agent_version, case_id, trial, state, passed, trial_latency_s as latency_s,
            count(*) as steps, count(*) filter (where kind = 'tool') as tool_calls,
            min(hit) as step, any_value(total) as total
        from told
        group by run, agent_version, case_id, trial, state, passed, trial_latency_s
        order by run desc, case_id, trial
    """  # noqa: S608 - the user's own values are apart
    return sql, [*values, *(value for _, value in of_step)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuery:
    """Which traces are wanted; None where anything will do.

    `tool`, `error_type` and `slower_than_s` are about one and the same step; `error_type` and
    `slower_than_s` without a `tool` or `model` are about the trial as a whole as well.
    """

    failed: bool = False
    agent_version: str | None = None
    tool: str | None = None
    error_type: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    case_id: str | None = None
    slower_than_s: float | None = None
    limit: int = 50

    @property
    def has_filters(self) -> bool:
        """Whether anything at all is asked for."""
        return str(self) != "any"

    def __str__(self) -> str:
        words = [
            "failed" if self.failed else "",
            f"version {self.agent_version}" if self.agent_version is not None else "",
            f"case {self.case_id}" if self.case_id is not None else "",
            f"tool {self.tool}" if self.tool is not None else "",
            f"model {self.model}" if self.model is not None else "",
            f"error {self.error_type}" if self.error_type is not None else "",
            f"slower than {self.slower_than_s:g} s" if self.slower_than_s is not None else "",
            f"user {self.user}" if self.user is not None else "",
            f"session {self.session}" if self.session is not None else "",
        ]
        return ", ".join(filter(None, words)) or "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """A table. `total` is how many rows there are in all, None when that is not known."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    total: int | None
