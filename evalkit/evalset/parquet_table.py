"""Read Parquet tables into rows of nodes, through DuckDB."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from evalkit.core.location import Location, Problem
from evalkit.evalset.csv_table import find_column_problems
from evalkit.evalset.json_nodes import parse_json_node
from evalkit.evalset.nodes import InvalidNode, ListNode, MappingNode, Member, Node, is_null
from evalkit.evalset.value_types import Columns

MAX_ROWS = 100_000
"""Rows of one file: as many as a set may have cases."""

MAX_MEMORY = "512MB"
"""What DuckDB may use. A small file can expand to any size, because equal values are stored once."""

_SETTINGS = (
    f"memory_limit = '{MAX_MEMORY}'",
    "threads = 1",
    "temp_directory = ''",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
)
_ADVICE = "Name the columns as in CSV."
_OPEN_FILE = re.compile(r"/dev/fd/\d+")
_COUNT = "select num_rows from parquet_file_metadata(?)"
_COLUMNS = "select * from read_parquet(?) limit 0"
# As JSON, in which every type of Parquet has a form.
_ROWS = (
    "select to_json(row) from "
    "read_parquet(?, binary_as_string = true, hive_partitioning = false) as row"
)


def read_parquet_table(
    data: bytes, path: str, problems: list[Problem], columns: Columns
) -> Iterator[MappingNode | InvalidNode]:
    """Yield the rows of a Parquet file; lists and structs become lists and mappings.

    Nulls are missing values, also within structs. The line of a location is the number of the row,
    from 1.
    """
    # Imported here, because it takes long and only Parquet needs it.
    import duckdb  # noqa: PLC0415

    try:
        # A file without a name, so that nothing is left behind, however the process ends.
        with tempfile.TemporaryFile() as stream, duckdb.connect() as connection:
            stream.write(data)
            stream.flush()
            file = [f"/dev/fd/{stream.fileno()}"]
            for setting in _SETTINGS:
                connection.execute(f"set {setting}")
            found = connection.execute(_COLUMNS, file).description or ()
            messages = find_column_problems([column[0] for column in found], columns, _ADVICE)
            counted = connection.execute(_COUNT, file)
            rows = sum(row[0] for row in counted.fetchall())
            if rows > MAX_ROWS:
                messages.append(f"{rows:,} rows; at most {MAX_ROWS:,} are allowed. Split the file.")
            problems += [Problem(message=each, where=Location(path=path)) for each in messages]
            if messages:
                return
            selected = connection.execute(_ROWS, file)
            number = 0
            while row := selected.fetchone():
                number += 1
                yield _read_row(row[0], Location(path=path, line=number), problems)
    except (duckdb.Error, OSError, RuntimeError, ValueError) as error:
        # A damaged name of a column is a RuntimeError or a ValueError of the bindings.
        problems.append(Problem(message=_describe_error(error, path), where=Location(path=path)))


def _read_row(text: str, where: Location, problems: list[Problem]) -> MappingNode | InvalidNode:
    try:
        node: Node = parse_json_node(text, where)
    except ValueError as error:
        problems.append(Problem(message=str(error), where=where))
        node = InvalidNode(where=where)
    pruned = _drop_nulls(node)
    return pruned if isinstance(pruned, MappingNode) else InvalidNode(where=where)


def _drop_nulls(node: Node) -> Node:
    """Return a value without the nulls in its mappings: a struct has every field in every row."""
    if isinstance(node, ListNode):
        return replace(node, items=tuple(map(_drop_nulls, node.items)))
    if not isinstance(node, MappingNode):
        return node
    members = {
        key: Member(member.where, _drop_nulls(member.node))
        for key, member in node.members.items()
        if not is_null(member.node)
    }
    return replace(node, members=members)


def _describe_error(error: Exception, path: str) -> str:
    reason = _OPEN_FILE.sub(lambda _: path, str(error).strip().partition("\n")[0]).rstrip(".")
    if reason.startswith("Out of Memory"):
        return f"the file needs more than {MAX_MEMORY} of memory to read. Split it."
    return f"the file cannot be read as Parquet: {reason}. Write it again."
