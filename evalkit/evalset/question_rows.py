"""Read a CSV, TSV, JSON, or JSONL file with any column names into rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import TypeAlias

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.evalset.case_files import CaseReader, read_json_cases, read_jsonl_cases
from evalkit.evalset.csv_table import open_text
from evalkit.evalset.nodes import MAX_TEXT, InvalidNode, MappingNode, to_plain_value

_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionRow:
    """One row: where it is, and its values by column."""

    where: Location
    values: Mapping[str, Json]

    @property
    def is_blank(self) -> bool:
        """Whether no column has a value."""
        return all(map(is_empty, self.values.values()))


@dataclass(kw_only=True, slots=True)
class QuestionRows:
    """The columns and rows of a file, and the rows that could not be read."""

    columns: dict[str, None] = field(default_factory=dict)
    rows: list[QuestionRow] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)

    def add(self, where: Location, values: Mapping[str, Json]) -> None:
        """Add a row."""
        self.columns.update(dict.fromkeys(values))
        self.rows.append(QuestionRow(where=where, values=values))


def is_empty(value: Json) -> bool:
    """Return whether a value is null, blank text, or a list or mapping without items."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def read_question_rows(data: bytes, path: str) -> QuestionRows:
    """Read the rows of a file by its extension.

    Raises:
        InvalidInput: the extension is unknown, or not every row could be found.
    """
    reader = _READERS.get(PurePath(path).suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise InvalidInput.single(
            f"{path}: unknown kind of file. Known extensions: {known}. Save a spreadsheet as CSV."
        )
    found = reader(data, path)
    if not found.rows and not found.unreadable:
        raise InvalidInput.single("the file has no rows.", Location(path=path))
    return found


def _read_csv_rows(data: bytes, path: str) -> QuestionRows:
    """Read CSV. The delimiter is the one that the first line has most of, because spreadsheets differ."""
    found = QuestionRows()
    problems: list[Problem] = []
    first = data.partition(b"\n")[0].decode(errors="replace")
    csv.field_size_limit(MAX_TEXT)
    lines = open_text(data, path, problems, newline="")
    reader = csv.reader(lines, strict=True, delimiter=max(_DELIMITERS, key=first.count))
    header: list[str] = []
    line = 1
    try:
        for row in reader:
            where, line = Location(path=path, line=line), reader.line_num + 1
            if not header:
                header = [name.strip() for name in row]
                problems += _find_header_problems(header, where)
                found.columns = dict.fromkeys(filter(None, header))
            elif any(cell.strip() for cell in row[len(header) :]):
                message = (
                    f"the row has {len(row)} cells, but the first line has {len(header)}. Put cells "
                    "with the separator in quotes."
                )
                found.unreadable.append(Problem(message=message, where=where))
            elif row:  # csv gives an empty row for a blank line
                cells = dict(zip(header, row, strict=False))
                found.add(where, {name: cell for name, cell in cells.items() if name})
    except csv.Error as error:
        message = (
            f"not valid CSV: {error}. Quote cells that contain quotes, and double those quotes."
        )
        problems.append(Problem(message=message, where=Location(path=path, line=line)))
    if problems:
        raise InvalidInput(problems)
    return found


def _find_header_problems(header: list[str], where: Location) -> Iterator[Problem]:
    for name in dict.fromkeys(filter(None, header)):
        if header.count(name) > 1:
            message = f"column {name!r} appears {header.count(name)} times. Rename one."
            yield Problem(message=message, where=where)


def _read_object_rows(data: bytes, path: str, read: CaseReader, *, by_line: bool) -> QuestionRows:
    """Read one object per row. With `by_line`, a row that cannot be read hides no other row."""
    found = QuestionRows()
    problems: list[Problem] = []
    for node in read(data, path, problems):
        if isinstance(node, MappingNode):
            found.add(node.where, dict(_flatten("", to_plain_value(node))))
        elif not isinstance(node, InvalidNode):
            message = "the row is no object with a value for each column."
            problems.append(Problem(message=message, where=node.where))
    if problems and not (by_line and found.rows):
        raise InvalidInput(problems)
    found.unreadable += problems
    return found


def _flatten(prefix: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Yield the values in nested objects, with their keys joined by dots."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else key, item)
    else:
        yield prefix, value


_Reader: TypeAlias = Callable[[bytes, str], QuestionRows]

_read_lines = partial(_read_object_rows, read=read_jsonl_cases, by_line=True)

_READERS: Mapping[str, _Reader] = {
    ".csv": _read_csv_rows,
    ".tsv": _read_csv_rows,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": partial(_read_object_rows, read=read_json_cases, by_line=False),
}
