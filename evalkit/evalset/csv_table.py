"""CSV bytes turned into rows with their line numbers, or into problems."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from evalkit.core.location import Location, Problem
from evalkit.core.source_files import decode_utf8
from evalkit.evalset.nodes import MAX_TEXT, InvalidNode


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
    data: bytes,
    path: str,
    problems: list[Problem],
    check_columns: Callable[[Sequence[str], Location, list[Problem]], bool],
) -> Iterator[CsvRow | InvalidNode]:
    """Yield the rows of a CSV file with a header; every value is text, and empty cells are left out.

    `check_columns` reports problems of the header and returns whether rows can be read under it.
    """
    # The process-wide default of 128 KiB is too small for a long prompt.
    csv.field_size_limit(MAX_TEXT)
    reader = csv.reader(open_text(data, path, problems, newline=""), strict=True)
    columns: Sequence[str] = ()
    where = Location(path=path, line=1, column=1)
    try:
        for row in reader:
            if not columns:
                columns = row
                if columns and not check_columns(columns, where, problems):
                    return
            elif len(row) == len(columns):
                cells = {name: cell for name, cell in zip(columns, row, strict=True) if cell}
                yield CsvRow(cells, where)
            elif row:
                message = f"{len(row)} cells, but the first line has {len(columns)}. Quote commas."
                problems.append(Problem(message=message, where=where))
                yield InvalidNode(where=where)
            where = Location(path=path, line=reader.line_num + 1, column=1)
    except csv.Error as error:
        message = (
            f"not valid CSV: {error}. Quote cells that contain quotes, and double those quotes."
        )
        problems.append(Problem(message=message, where=where))
