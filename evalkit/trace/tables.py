"""Stored runs as tables for DuckDB: runs, trials, scores, spans.

The spans of a finished run are in a Parquet file, each with the columns of its trial that queries need
most. DuckDB searches 1,000 such files in a third of a second, so there is no index to maintain. The
other tables are read from the runs' JSON files when a query names them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import duckdb

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists, read_stored_file, write_atomically
from evalkit.core.serialization import parse_stored_record
from evalkit.trace.columns import SCORE_COLUMNS, SPAN_TABLE_COLUMNS, TRIAL_COLUMNS

RUNS_SQL = """
select run, evalset, evalset_path, agent_kind, agent_entrypoint, agent_version, git_commit, git_dirty,
    try_cast(created as timestamp) as created, trials, evalkit_version, folder
from (values {rows}) t({columns})
"""

# Of several lines for one trial the last counts; a torn line has no case.
LINES_SQL = """
select * from (
    select *, parse_dirpath(filename) as folder, row_number() over () as line
    from read_json({files}, format = 'newline_delimited', ignore_errors = true, filename = true,
        maximum_object_size = 134217728,
        columns = {{case_id: 'VARCHAR', number: 'INTEGER', {columns}}})
) where case_id is not null
qualify row_number() over (partition by folder, case_id, number order by line desc) = 1
"""

_STORED_TRIAL = """
attempts: 'INTEGER',
output: 'STRUCT(text VARCHAR, latency_s DOUBLE, first_token_s DOUBLE, cost_usd DOUBLE, flags VARCHAR[],
    "usage" STRUCT(input_tokens BIGINT, output_tokens BIGINT),
    tool_calls STRUCT("name" VARCHAR, arguments JSON, result JSON, error VARCHAR,
        duration_s DOUBLE)[],
    error STRUCT(kind VARCHAR, message VARCHAR))',
scores: 'STRUCT(metric VARCHAR, "value" DOUBLE, passed BOOLEAN, explanation VARCHAR, state VARCHAR,
    advisory BOOLEAN)[]'
"""

# `Trial.state` and `Trial.passed` in SQL; a test compares them.
TRIALS_SQL = """
with latest as (
    select *, list_filter(scores, lambda s: not coalesce(s.advisory, false)) as enforced
    from ({lines})
), with_states as (
    select *, list_transform(if(len(enforced) > 0, enforced, coalesce(scores, [])), lambda s: case
        when coalesce(s.state, 'scored') = 'scored' and coalesce(abs(s."value"), 1e300) > 1e100
        then 'metric_error' else coalesce(s.state, 'scored') end) as states
    from latest
), with_state as (
    select *, case
        when output.error is not null then 'agent_error'
        when list_contains(states, 'judge_error') then 'judge_error'
        when list_contains(states, 'metric_error') then 'metric_error'
        when list_contains(states, 'unscored') then 'unscored'
        when list_contains(states, 'scored') then 'scored'
        else 'skipped' end as state
    from with_states
)
select run, agent_version, evalset, case_id, number as trial, state,
    state = 'scored' and not coalesce(
        list_contains(list_transform(enforced, lambda s: s.passed), false), false) as passed,
    coalesce(output.text, '') as text, coalesce(output.latency_s, 0) as latency_s,
    output.first_token_s as first_token_s, output.cost_usd as cost_usd, output."usage".input_tokens as input_tokens,
    output."usage".output_tokens as output_tokens, coalesce(attempts, 1) as attempts,
    coalesce(output.error.kind, '') as error_type, coalesce(output.error.message, '') as error,
    scores, output.tool_calls as tool_calls, folder
from with_state join ({runs}) using (folder)
"""

SCORES_SQL = """
select run, agent_version, evalset, case_id, trial, s.metric as metric,
    coalesce(s.state, 'scored') as state, s."value" as "value", s.passed as passed,
    coalesce(s.explanation, '') as explanation
from (select run, agent_version, evalset, case_id, trial, unnest(scores) as s from ({trials}))
"""

_NO_SPANS = f"""select {
    ", ".join(f"cast(null as {kind}) as {name}" for name, kind in SPAN_TABLE_COLUMNS.items())
} where false"""

_SPAN_ONLY_COLUMNS = list(SPAN_TABLE_COLUMNS)[list(SPAN_TABLE_COLUMNS).index("id") :]

SPANS_SQL = """
with flat as (select folder, case_id, number as trial, unnest(spans) as s from ({lines}))
select t.run, t.agent_version, t.evalset, t.case_id, t.trial, t.state, t.passed,
    t.latency_s as trial_latency_s, t.error_type as trial_error_type, {columns}
from flat join ({trials}) t using (folder, case_id, trial)
"""

# The calls that an agent returned, without a span of the same tool in their trial.
CALLS_SQL = """
with spans as ({spans}), trials as ({trials}), calls as (
    select *, unnest(tool_calls) as call, generate_subscripts(tool_calls, 1) as position from trials
)
select * from spans union all by name
select {trial_columns}, 'call-' || position as id, call."name" as name, 'tool' as kind,
    0 as start_s, call.duration_s as duration_s, if(call.error is null, '', 'error') as error_type,
    coalesce(call.error, '') as error, call."name" as tool, call.arguments as arguments,
    call.result as result, {empty_columns}
from calls anti join (select run, case_id, trial, tool from spans where kind = 'tool') called
    on (calls.run, calls.case_id, calls.trial, call."name")
        = (called.run, called.case_id, called.trial, called.tool)
"""

_TRIAL_COLUMNS_SQL = """calls.run, calls.agent_version, calls.evalset, calls.case_id, calls.trial,
    calls.state, calls.passed, calls.latency_s as trial_latency_s, calls.error_type as trial_error_type"""
_TEXTS_OF_SPANS = ("parent_id", "model", "prompt", "user_id", "session_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """The parts of a run's header that are columns of `runs`, in their order."""

    id: str
    evalset: str = ""
    evalset_path: str = ""
    agent_kind: str = ""
    agent_entrypoint: str = ""
    agent_version: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    created: str = ""
    trials: int | None = None
    evalkit_version: str = ""


def select_runs(folders: Sequence[Path]) -> str:
    """Return a SELECT of one row for each run.

    The headers are read here, because DuckDB would parse the cases in them as well, which takes longer
    than to read all the trials.

    Raises:
        StoreError: a header cannot be read.
    """
    names = [each.name for each in fields(RunRow)]
    rows = []
    for folder in folders:
        header = _read_run_row(folder)
        values = [*(getattr(header, name) for name in names), str(folder)]
        rows.append(f"({', '.join(map(_write_value, values))})")
    return RUNS_SQL.format(rows=", ".join(rows), columns=", ".join(["run", *names[1:], "folder"]))


def _read_run_row(folder: Path) -> RunRow:
    path = folder / "run.json"
    try:
        return parse_stored_record(read_stored_file(path), RunRow)
    except ValueError as error:
        raise StoreError(
            f"{path}: not a run: {error}. Delete its folder, or name intact runs with --run."
        ) from error


def _write_value(value: str | float | None) -> str:
    if isinstance(value, str):
        # DuckDB takes neither lone surrogates nor NUL.
        return quote_sql(value.encode(errors="replace").decode().replace("\0", ""))
    return "null" if value is None else str(value)


def select_trials(folders: Sequence[Path]) -> str:
    """Return a SELECT of every stored trial with its state."""
    return TRIALS_SQL.format(
        lines=_select_lines(folders, "trials.jsonl", _STORED_TRIAL), runs=select_runs(folders)
    )


def select_trial_view(folders: Sequence[Path]) -> str:
    """Return a SELECT of every stored trial, with the columns that a query may use."""
    return f"select {', '.join(TRIAL_COLUMNS)} from ({select_trials(folders)})"  # noqa: S608


def select_scores(folders: Sequence[Path]) -> str:
    """Return a SELECT of every score."""
    scores = SCORES_SQL.format(trials=select_trials(folders))
    return f"select {', '.join(SCORE_COLUMNS)} from ({scores})"  # noqa: S608


def select_spans(parquet_folders: Sequence[Path], jsonl_folders: Sequence[Path]) -> str:
    """Return a SELECT of every span of finished runs and of runs that have no Parquet file."""
    selects = []
    if parquet_folders:
        files = _list_files_sql(parquet_folders, "spans.parquet")
        selects.append(f"select {', '.join(SPAN_TABLE_COLUMNS)} from read_parquet({files})")  # noqa: S608
    if jsonl_folders:
        selects.append(select_jsonl_spans(jsonl_folders))
    if not selects:  # neither function reads an empty list of files
        selects.append(_NO_SPANS)
    # In parentheses, because the second one begins with a WITH.
    return " union all ".join(f"({select})" for select in selects)


def select_jsonl_spans(folders: Sequence[Path]) -> str:
    """Return a SELECT of every span in the JSON lines of some runs, and of every returned tool call."""
    traced = [folder for folder in folders if path_exists(folder / "spans.jsonl")]
    # Runs store no field that has its default value, so the default is restored here.
    defaults = {"kind": "'step'", "start_s": "0", "duration_s": "0"}
    columns = []
    for name in _SPAN_ONLY_COLUMNS:
        fallback = "''" if SPAN_TABLE_COLUMNS[name] == "VARCHAR" else "null"
        columns.append(f"coalesce(s.{name}, {defaults.get(name, fallback)}) as {name}")
    fields = ", ".join(f"{name} {SPAN_TABLE_COLUMNS[name]}" for name in _SPAN_ONLY_COLUMNS)
    spans = _NO_SPANS
    if traced:  # `read_json` takes no empty list of files
        spans = SPANS_SQL.format(
            lines=_select_lines(traced, "spans.jsonl", f"spans: 'STRUCT({fields})[]'"),
            columns=", ".join(columns),
            trials=select_trials(traced),
        )
    return CALLS_SQL.format(
        spans=spans,
        trials=select_trials(folders),
        trial_columns=_TRIAL_COLUMNS_SQL,
        empty_columns=", ".join(f"'' as {name}" for name in _TEXTS_OF_SPANS),
    )


def write_parquet(folder: Path) -> None:
    """Write the Parquet file of a finished run; on failure searches read its JSON lines instead."""
    with (
        contextlib.suppress(duckdb.Error, OSError, StoreError),
        # DuckDB writes to a name. Where the system can, the file has none otherwise, so that kill -9
        # leaves nothing of it.
        tempfile.TemporaryFile() as stream,
        duckdb.connect() as connection,
    ):
        connection.execute(
            f"copy ({select_jsonl_spans([folder])}) to '/dev/fd/{stream.fileno()}' "
            f"(format parquet, compression zstd, use_tmp_file false)"
        )
        stream.seek(0)
        write_atomically(folder / "spans.parquet", stream.read())


def _select_lines(folders: Sequence[Path], name: str, columns: str) -> str:
    return LINES_SQL.format(files=_list_files_sql(folders, name), columns=columns)


def _list_files_sql(folders: Sequence[Path], name: str) -> str:
    return f"[{', '.join(quote_sql(str(folder / name)) for folder in folders)}]"


def quote_sql(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
