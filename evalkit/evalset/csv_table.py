"""Read CSV and TSV tables into rows that know their line numbers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from evalkit.core.location import Location, Problem
from evalkit.core.source_files import decode_utf8
from evalkit.evalset.foreign_keys import explain_key, guess_key
from evalkit.evalset.nodes import MAX_TEXT, InvalidNode, quote_short
from evalkit.evalset.value_types import Columns

MAX_COLUMNS = 200
"""Columns of one table. With more, it is a different kind of table."""

MAX_COLUMN_STEPS = 8
"""Names in one column name, as in `expected.address.city`."""


class CsvRow(NamedTuple):
    """One row below the header: its nonempty cells by column."""

    cells: dict[str, str]
    where: Location


def open_text(data: bytes, path: str, problems: list[Problem], *, newline: str) -> Iterable[str]:
    """Return the lines of UTF-8 text, decoded one by one to save memory; none for other encodings."""
    if decode_utf8(data, path, problems) is None:
        return ()
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=newline)


def read_csv_table(
    data: bytes, path: str, problems: list[Problem], columns: Columns, *, delimiter: str = ","
) -> Iterator[CsvRow | InvalidNode]:
    """Yield the rows of a CSV file with a header; every value is text, and empty cells are left out."""
    kind, delimiters = ("TSV", "tabs") if delimiter == "\t" else ("CSV", "commas")
    advice = f"{delimiters.capitalize()} separate columns."
    # The process-wide default of 128 KiB is too small for a long prompt.
    csv.field_size_limit(MAX_TEXT)
    reader = csv.reader(
        open_text(data, path, problems, newline=""), strict=True, delimiter=delimiter
    )
    header: Sequence[str] = ()
    where = Location(path=path, line=1, column=1)
    try:
        for row in reader:
            if not header:
                header = row
                found = find_column_problems(header, columns, advice) if header else []
                if found:
                    problems += [Problem(message=message, where=where) for message in found]
                    return
            elif len(row) == len(header):
                cells = {name: cell for name, cell in zip(header, row, strict=True) if cell}
                yield CsvRow(cells, where)
            elif row:  # csv gives an empty row for a blank line
                message = (
                    f"{len(row)} cells, but the first line has {len(header)}. Quote {delimiters}."
                )
                problems.append(Problem(message=message, where=where))
                yield InvalidNode(where=where)
            where = Location(path=path, line=reader.line_num + 1, column=1)
    except csv.Error as error:
        message = (
            f"not valid {kind}: {error}. Quote cells that contain quotes, and double those quotes."
        )
        problems.append(Problem(message=message, where=where))


def find_column_problems(header: Sequence[str], columns: Columns, advice: str) -> list[str]:
    """Return what is wrong with the names of columns: unknown, repeated, in conflict, or missing.

    `advice` follows the message about a missing column.
    """
    if len(header) > MAX_COLUMNS:
        return [f"{len(header):,} columns; at most {MAX_COLUMNS} are allowed."]
    shown = [*columns.known, *(f"{prefix}NAME" for prefix in columns.prefixes)]
    found = []
    for column, count in Counter(header).items():
        steps = column.split(".")
        has_prefix = column.startswith(columns.prefixes) and all(steps)
        if column not in columns.known and not (has_prefix and len(steps) <= MAX_COLUMN_STEPS):
            near = explain_key(column, columns.known) or f". Known columns: {', '.join(shown)}."
            found.append(f"unknown column {quote_short(column)}{near}")
        if count > 1:
            found.append(f"column {quote_short(column)} appears {count} times. Keep one.")
        part = next((other for other in header if other.startswith(f"{column}.")), None)
        if part is not None:
            found.append(
                f"columns {quote_short(column)} and {quote_short(part)} set one value. Keep one."
            )
    meant = {guess_key(column, columns.known) for column in header}
    missing = [column for column in columns.required if column not in {*header, *meant}]
    return found + [f"no column {column!r} in the first line. {advice}" for column in missing]
