"""Read case files (YAML, CSV, JSONL) into one node per case, as if written in the eval set."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple, NoReturn, TypeAlias

from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.evalset.csv_table import Columns, CsvRow, open_text, read_csv_table
from evalkit.evalset.fields import read_mapping
from evalkit.evalset.keys import CASE_FILE_KEYS
from evalkit.evalset.nodes import (
    MAX_DEPTH,
    MAX_TEXT,
    InvalidNode,
    ListNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    ScalarKind,
    find_number_problem,
    quote_short,
)
from evalkit.evalset.yaml import parse_yaml

CaseReader: TypeAlias = Callable[[bytes, str, list[Problem]], Iterator[Node]]
"""Takes a file's content, its name in locations, and the list that problems are added to."""

METADATA_PREFIX = "metadata."
"""A column `metadata.NAME` sets NAME in the case's metadata."""

COLUMNS = Columns(
    known=("id", "input", "expected", "tags", "cluster"),
    required=("id", "input"),
    prefix=METADATA_PREFIX,
)

TAG_SEPARATOR = ";"

MAX_LINE_VALUES = 500_000
"""Values of one JSON line. Each takes about 300 bytes of memory until the line is read."""

# Possessive and without a required closing quote, so that no text makes it backtrack.
_JSON_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)'
)


class _Number(NamedTuple):
    """A JSON number as written."""

    kind: ScalarKind
    text: str


class _Object(NamedTuple):
    """A JSON object as written, including duplicate keys."""

    pairs: list[tuple[str, Json]]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"numbers must be finite, but {name} is not. Use null or text.")


_JSON = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=lambda text: _Number("integer", text),
    parse_float=lambda text: _Number("decimal", text),
    parse_constant=_refuse_constant,
)


def read_yaml_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a YAML file: a list, or a mapping with the one key `cases`."""
    node = parse_yaml(data, path, problems)
    if isinstance(node, MappingNode):
        fields = read_mapping(node, "case file", CASE_FILE_KEYS, problems)
        yield from (fields.items("cases") if fields else None) or ()
    elif isinstance(node, ListNode):
        yield from node.items
    elif isinstance(node, Scalar) and node.kind != "null":
        message = "a case file must be a list of cases. Begin each case with '- id:'."
        problems.append(Problem(message=message, where=node.where))


def _check_json_size(line: str) -> None:
    """Reject a line that would take too much stack or memory, before building anything (ValueError)."""
    if line.count("[") + line.count("{") <= MAX_DEPTH and line.count(",") < MAX_LINE_VALUES:
        return
    depth = commas = 0
    for match in _JSON_TOKEN.finditer(line):
        depth += (match.lastgroup == "open") - (match.lastgroup == "close")
        commas += match.lastgroup == "comma"
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep.")
        if commas >= MAX_LINE_VALUES:
            raise ValueError(f"more than {MAX_LINE_VALUES:,} values on one line.")


def _object_node(pairs: Sequence[tuple[str, Json]], where: Location) -> Node:
    members = {key: Member(where, _json_node(value, where)) for key, value in pairs}
    # Counting is slow, so it is done only when a key is missing.
    if len(members) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {quote_short(key)}. Keep one.")
    return MappingNode(members=members, where=where)


def _json_node(value: Json, where: Location) -> Node:
    match value:
        case str():
            if len(value) > MAX_TEXT:
                raise ValueError(
                    f"text of {len(value):,} characters; at most {MAX_TEXT:,} are allowed."
                )
            return Scalar(kind="text", text=value, where=where)
        case _Object():
            return _object_node(value.pairs, where)
        case _Number():
            if problem := find_number_problem(value.text):
                raise ValueError(problem)
            return Scalar(kind=value.kind, text=value.text, where=where)
        case list():
            return ListNode(items=tuple(_json_node(item, where) for item in value), where=where)
        case bool():
            return Scalar(kind="boolean", text="true" if value else "false", where=where)
        case _:
            return Scalar(kind="null", text="", where=where)


def _parse_json_line(line: str, where: Location) -> Node:
    # Before decoding, because the decoder recurses and builds the whole value in memory.
    _check_json_size(line)
    try:
        value = _JSON.decode(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not valid JSON: {error.msg.removesuffix(' at')} in column {error.colno}. "
            f"Write each case as one JSON object on one line."
        ) from None
    return _json_node(value, where)


def read_jsonl_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a JSONL file: one JSON object per line; empty lines are skipped."""
    # Only "\n" ends a line, because JSON strings may contain the other line breaks of Unicode.
    for number, line in enumerate(open_text(data, path, problems, newline="\n"), start=1):
        if not line.strip():
            continue
        where = Location(path=path, line=number, column=1)
        try:
            node = _parse_json_line(line, where)
        except ValueError as error:
            problems.append(Problem(message=str(error), where=where))
            node = InvalidNode(where=where)
        yield node


def _cell_node(column: str, cell: str, where: Location) -> Node:
    if column != "tags":
        return Scalar(kind="text", text=cell, where=where)
    tags = filter(None, map(str.strip, cell.split(TAG_SEPARATOR)))
    return ListNode(
        items=tuple(Scalar(kind="text", text=tag, where=where) for tag in tags), where=where
    )


def _row_node(row: CsvRow) -> Node:
    where = row.where
    members, metadata = {}, {}
    for column, cell in row.cells.items():
        member = Member(where, _cell_node(column, cell, where))
        if column in COLUMNS.known:
            members[column] = member
        else:
            metadata[column.removeprefix(METADATA_PREFIX)] = member
    if metadata:
        members["metadata"] = Member(where, MappingNode(members=metadata, where=where))
    return MappingNode(members=members, where=where)


def read_csv_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a CSV file."""
    for row in read_csv_table(data, path, problems, COLUMNS):
        yield _row_node(row) if isinstance(row, CsvRow) else row


READERS: Mapping[str, CaseReader] = {
    ".yaml": read_yaml_cases,
    ".yml": read_yaml_cases,
    ".csv": read_csv_cases,
    ".jsonl": read_jsonl_cases,
}


def find_reader(name: str) -> CaseReader | None:
    """Return the reader for a file name, by its extension."""
    return READERS.get(PurePath(name).suffix.lower())
