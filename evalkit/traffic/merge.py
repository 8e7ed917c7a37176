"""Merge the rows of an import into the store: later versions win, and only touched days are rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit.core.files import write_atomically
from evalkit.traffic.assembly import assemble_requests
from evalkit.traffic.columns import TABLES
from evalkit.traffic.grouped_lines import group_lines
from evalkit.traffic.stage import ImportStage
from evalkit.traffic.table import PART_FILE, UNFINISHED_FILE, quote_text, select_table
from evalkit.traffic.trace_calls import SpanFacts

_ROOT_VALUES = """
create table root_values as
select r.request_id, s.attributes, case
    when json_type(s.arguments) = 'ARRAY' and json_array_length(s.arguments) > 1 then s.arguments
    when json_array_length(s.arguments -> 'messages') > 1 then s.arguments -> 'messages'
    end as messages
from new_spans s join new_requests r on r.request_id = s.request_id and r.root_id = s.span_id
where s.attributes is not null or s.arguments is not null
"""

_FILL_FROM_ROOT = """
update new_requests set attributes = v.attributes, messages = v.messages
from root_values v where v.request_id = new_requests.request_id and root_id is not null
"""

_KEYS = {
    "requests": ("request_id",),
    "spans": ("request_id", "span_id"),
    "feedback": ("feedback_id",),
}
_ORDER = {
    "requests": "order by version, request_id",
    "spans": "order by version, request_id, start_ns",
    "feedback": "order by ts",
}


class MergeResult(NamedTuple):
    """The number of new rows by table, and of traces of the import that are no requests."""

    added: Mapping[str, int]
    other_traces: int


def merge_stage(stage: ImportStage, folder: Path, file_names: Sequence[str]) -> MergeResult:
    """Store the rows of a stage, which are from files with these names.

    All files are complete before the first one replaces its predecessor. To be called again after a crash
    leads to the same store. Until then, UNFINISHED_FILE says that rows may be missing.
    """
    stage.load()
    connection = stage.connection
    has_spans = _count(stage, "new_spans") > 0
    new = {}
    old_days: dict[str, set[str]] = {}
    for table in TABLES:
        key = _KEYS[table][0]
        connection.execute(
            f"create table ids_{table} as select distinct {key} as id from new_{table}"  # noqa: S608
        )
    if has_spans:
        # Stored feedback may have waited for these spans.
        connection.execute(
            "insert into ids_feedback select feedback_id from "  # noqa: S608
            f"({select_table(folder, 'feedback')}) where request_id is null and target_span in "
            "(select span_id from new_spans)"
        )
        # A late span changes its request, and perhaps the day of all spans of the trace.
        connection.execute("insert into ids_requests select id from ids_spans")
    for table in TABLES:
        old_days[table] = _take_old_rows(stage, folder, table, rebuilt=has_spans)
        _drop_older_versions(stage, table)
    if has_spans:
        _assemble(stage)
        _drop_older_versions(stage, "requests")
    _join_feedback(stage, folder)
    others = _count(
        stage,
        "new_trace_days where request_id not in (select request_id from new_requests)",
    )
    for table in TABLES:
        new[table] = _count(stage, f"new_{table}") - _count(stage, f"old_{table}")
    files = [
        pair for table in TABLES for pair in _write_days(stage, folder, table, old_days[table])
    ]
    write_atomically(folder / UNFINISHED_FILE, "".join(f"{name}\n" for name in file_names))
    # Files of new days come first: a row that moves may be in two days, but never in none.
    for written, target in sorted(files, key=lambda pair: pair[1].exists()):
        target.parent.mkdir(parents=True, exist_ok=True)
        written.replace(target)
    _remove_empty(stage, folder, old_days)
    return MergeResult(new, others)


def _count(stage: ImportStage, table: str) -> int:
    found = stage.connection.execute(f"select count(*) from {table}").fetchone()  # noqa: S608
    return int(found[0]) if found else 0


def _take_old_rows(stage: ImportStage, folder: Path, table: str, *, rebuilt: bool) -> set[str]:
    """Copy the stored rows that the import concerns into the stage; return their days.

    Requests that are `rebuilt` from spans are not copied, only counted.
    """
    key = _KEYS[table][0]
    connection = stage.connection
    names = ", ".join(f'"{name}"' for name in TABLES[table])
    stored = select_table(folder, table)
    connection.execute(
        f"create table old_{table} as select distinct {', '.join(_KEYS[table])}, day from ({stored}) "  # noqa: S608
        f"where {key} in (select id from ids_{table})"
    )
    days = connection.execute(f"select distinct day::varchar from old_{table}").fetchall()  # noqa: S608
    found = {day for (day,) in days}
    if found:
        listed = ", ".join(f"date {quote_text(day)}" for day in sorted(found))
        unless = " and request_id not in (select id from ids_spans)"
        connection.execute(
            f"insert into new_{table} ({names}, seq) select {names}, -1 from ({stored}) "  # noqa: S608
            f"where day in ({listed}) and {key} in (select id from ids_{table})"
            f"{unless if table == 'requests' and rebuilt else ''}"
        )
    return found


def _drop_older_versions(stage: ImportStage, table: str) -> None:
    """Keep one row of each key: the last updated, and of those the last read."""
    keys = ", ".join(_KEYS[table])
    stage.connection.execute(
        # First by hash: most rows have no other version, and the hashes of all rows fit into memory.
        f"create or replace table repeated as select hash({keys}) as h from new_{table} "  # noqa: S608
        "group by h having count(*) > 1"
    )
    if not _count(stage, "repeated"):
        return
    stage.connection.execute(
        f"delete from new_{table} where rowid in (select r from ("  # noqa: S608
        f"select rowid as r, row_number() over (partition by {keys} "
        f"order by updated_at desc nulls last, seq desc) as n from new_{table} "
        f"where hash({keys}) in (select h from repeated)) where n > 1)"
    )


def _assemble(stage: ImportStage) -> None:
    """Add the requests of all staged spans to the stage."""
    columns = ", ".join(
        "epoch_us(updated_at) as updated_us" if name == "updated_us" else f'"{name}"'
        for name in SpanFacts.__struct_fields__
    )
    path = stage.folder / "spans.jsonl"
    # Grouped by Python: to order this many rows, DuckDB would need more memory than it may use.
    stage.connection.execute(
        f"copy (select {columns} from new_spans) to {quote_text(str(path))} (format json)"  # noqa: S608
    )
    decoder = msgspec.json.Decoder(SpanFacts)
    for lines in group_lines(path, b'{"request_id":"'):
        spans = sorted(map(decoder.decode, lines), key=attrgetter("request_id"))
        for request_id, start_us, root_id, row in assemble_requests(spans):
            stage.add("trace_days", {"request_id": request_id, "ts": start_us})
            if row is not None:
                stage.add("requests", {**row, "root_id": root_id})
    path.unlink()
    stage.load()
    stage.connection.execute(_ROOT_VALUES)
    stage.connection.execute(_FILL_FROM_ROOT)


def _join_feedback(stage: ImportStage, folder: Path) -> None:
    """Fill in the request of feedback that names only a span."""
    for spans in ("new_spans", f"({select_table(folder, 'spans')})"):
        stage.connection.execute(
            "update new_feedback set request_id = s.request_id from (select span_id, "  # noqa: S608
            f"any_value(request_id) as request_id from {spans} where span_id in (select target_span "
            "from new_feedback where request_id is null) group by span_id) s "
            "where new_feedback.request_id is null and s.span_id = target_span"
        )


def _write_days(
    stage: ImportStage, folder: Path, table: str, old_days: set[str]
) -> Iterator[tuple[Path, Path]]:
    """Write the touched days of a table; yield each new file and the file that it is to replace."""
    for day, condition in _list_days(stage, table, old_days).items():
        written = stage.folder / "out" / table / day / PART_FILE
        target = folder / table / f"day={day}" / PART_FILE
        written.parent.mkdir(parents=True)
        names = ", ".join(f'"{name}"' for name in TABLES[table])
        sql = f"select {names} from new_{table} where {condition}"  # noqa: S608
        if target.exists():
            key = _KEYS[table][0]
            sql += (
                f" union all by name select {names} from ({select_table(folder, table)}) "  # noqa: S608
                f"where day = date {quote_text(day)} and {key} not in (select id from ids_{table})"
            )
        stage.connection.execute(
            f"copy (select * from ({sql}) {_ORDER[table]}) to {quote_text(str(written))} "  # noqa: S608
            "(format parquet, compression zstd, compression_level 3, row_group_size 40000)"
        )
        yield written, target


def _list_days(stage: ImportStage, table: str, old_days: set[str]) -> Mapping[str, str]:
    """Return the touched days, and the condition for the staged rows of each."""
    if table == "spans":
        found: list[tuple[Any, ...]] = stage.connection.execute(
            "select d.ts::date::varchar, min(start_ns), max(start_ns) "
            "from new_spans join new_trace_days d using (request_id) group by all"
        ).fetchall()
        days = {
            day: f"start_ns between {first} and {last} and request_id in "  # noqa: S608
            f"(select request_id from new_trace_days where ts::date = date {quote_text(day)})"
            for day, first, last in found
        }
    else:
        found = stage.connection.execute(
            f"select distinct ts::date::varchar from new_{table}"  # noqa: S608
        ).fetchall()
        days = {day: f"ts::date = date {quote_text(day)}" for (day,) in found}
    return {**dict.fromkeys(sorted(old_days), "false"), **dict(sorted(days.items()))}


def _remove_empty(stage: ImportStage, folder: Path, old_days: Mapping[str, set[str]]) -> None:
    """Remove the files of days that have no rows any more."""
    for table, days in old_days.items():
        for day in days:
            path = folder / table / f"day={day}" / PART_FILE
            found = stage.connection.execute(
                "select num_rows from parquet_file_metadata(?)", [str(path)]
            ).fetchone()
            if found and not found[0]:
                path.unlink()
                path.parent.rmdir()
