"""Read the rows of CSV and Parquet files one by one, as mappings of column to value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.safe_text import unescape_csv_formula

_MAX_CELL = 16 << 20
_BATCH = 500
_DELIMITERS = (",", "\t", ";")


def read_csv_rows(stream: BinaryIO, name: str) -> Iterator[tuple[int, Json, str]]:
    """Yield the line, the cells by column, and the damage of each row; empty cells are left out.

    The first line has the names of the columns, and its most frequent separator separates them all.

    Raises:
        InvalidInput: the first line is no header.
    """
    # The process-wide default of 128 KiB is too small for a long prompt.
    csv.field_size_limit(_MAX_CELL)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    first = text.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    if len(header) < 2 or len(set(header)) < len(header) or not all(header):
        where = Location(path=name, line=1)
        message = (
            "the file is no JSON, no protobuf, no Parquet, and has no header of a table: two or "
            "more different names, separated by commas, tabs, or semicolons."
        )
        raise InvalidInput.single(message, where)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 2
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield number, None, f"not valid CSV: {error}"
            continue
        if not row:
            continue
        if len(row) != len(header):
            yield number, None, f"{len(row)} cells, but the first line has {len(header)}"
        elif any("\udc80" <= char <= "\udcff" for cell in row for char in cell):
            yield number, None, "not UTF-8"
        else:
            cells = zip(header, row, strict=True)
            yield number, {key: unescape_csv_formula(cell) for key, cell in cells if cell}, ""
    text.detach()


def read_parquet_rows(path: Path) -> Iterator[Json]:
    """Yield the rows of a Parquet file; times are texts in ISO 8601.

    Raises:
        InvalidInput: DuckDB cannot read the file.
    """
    import duckdb  # noqa: PLC0415 - only for such files

    try:
        with duckdb.connect() as connection:
            for setting in (
                "memory_limit = '200MB'",
                "threads = 1",
                "TimeZone = 'UTC'",
                "autoinstall_known_extensions = false",
                "autoload_known_extensions = false",
            ):
                connection.execute(f"set {setting}")
            # As JSON, in which every type of Parquet has a form.
            rows = connection.execute(
                "select to_json(row)::varchar from read_parquet(?, binary_as_string = true, "
                "hive_partitioning = false) as row",
                [str(path)],
            )
            while batch := rows.fetchmany(_BATCH):
                for (row,) in batch:
                    yield msgspec.json.decode(row)
    except (duckdb.Error, RuntimeError, ValueError) as error:
        message = "the file cannot be read as Parquet. Write it again."
        raise InvalidInput.single(message, Location(path=str(path))) from error
