"""Read case files (YAML, JSON, JSONL, CSV, TSV, Parquet) into one node per case, as if written in the eval set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import PurePath
from typing import TypeAlias

from evalkit.core.location import Location, Problem
from evalkit.core.source_files import decode_utf8
from evalkit.evalset.csv_table import CsvRow, open_text, read_csv_table
from evalkit.evalset.fields import read_mapping
from evalkit.evalset.json_nodes import JsonSyntaxError, iter_json_items, parse_json_node
from evalkit.evalset.keys import CASE_FILE_KEYS
from evalkit.evalset.nodes import InvalidNode, ListNode, MappingNode, Node, Scalar
from evalkit.evalset.parquet_table import read_parquet_table
from evalkit.evalset.table_cells import COLUMNS, build_case_node
from evalkit.evalset.yaml import parse_yaml

CaseReader: TypeAlias = Callable[[bytes, str, list[Problem]], Iterator[Node]]
"""Takes a file's content, its name in locations, and the list that problems are added to."""

_JSON_LIST = re.compile(r'\s*(?P<object>\{\s*"cases"\s*:\s*)?\[')


def read_yaml_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a YAML file: a list, or a mapping with the one key `cases`."""
    node = parse_yaml(data, path, problems)
    yield from () if node is None else _iter_listed_cases(node, problems)


def _iter_listed_cases(node: Node, problems: list[Problem]) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        fields = read_mapping(node, "case file", CASE_FILE_KEYS, problems)
        yield from (fields.items("cases") if fields else None) or ()
    elif isinstance(node, ListNode):
        yield from node.items
    elif isinstance(node, Scalar) and node.kind != "null":
        message = "a case file must be a list of cases. Begin each case with '- id:'."
        problems.append(Problem(message=message, where=node.where))


def read_jsonl_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a JSONL file: one JSON object per line; empty lines are skipped."""
    # Only "\n" ends a line, because JSON strings may contain the other line breaks of Unicode.
    for number, line in enumerate(open_text(data, path, problems, newline="\n"), start=1):
        if not line.strip():
            continue
        where = Location(path=path, line=number, column=1)
        try:
            node = parse_json_node(line, where)
        except ValueError as error:
            advice = ". Write each case as one JSON object on one line."
            message = f"{error}{advice}" if isinstance(error, JsonSyntaxError) else str(error)
            problems.append(Problem(message=message, where=where))
            node = InvalidNode(where=where)
        yield node


def read_json_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a JSON file: a list, or an object with the one key `cases`."""
    text = decode_utf8(data, path, problems)
    if text is None or not text.strip():
        return
    begin = _JSON_LIST.match(text)
    try:
        if begin:
            end = "}" if begin["object"] else ""
            yield from iter_json_items(text, begin.end(), end, path, problems)
        else:
            yield from _iter_listed_cases(
                parse_json_node(text, Location(path=path, line=1)), problems
            )
    except JsonSyntaxError as error:
        advice = "Write a list of cases, or an object with the one key `cases`."
        if error.has_more:
            advice += " If each line is one object, name the file .jsonl."
        where = Location(path=path, line=error.line, column=error.column)
        problems.append(Problem(message=f"{error}. {advice}", where=where))
    except ValueError as error:
        problems.append(Problem(message=str(error), where=Location(path=path, line=1)))


def _build_text_case(row: CsvRow, problems: list[Problem]) -> MappingNode:
    cells = {
        column: Scalar(kind="text", text=cell, where=row.where)
        for column, cell in row.cells.items()
    }
    return build_case_node(cells, row.where, problems)


def read_csv_cases(
    data: bytes, path: str, problems: list[Problem], *, delimiter: str = ","
) -> Iterator[Node]:
    """Yield the cases of a CSV file, or of a TSV file with the delimiter of that."""
    for row in read_csv_table(data, path, problems, COLUMNS, delimiter=delimiter):
        yield _build_text_case(row, problems) if isinstance(row, CsvRow) else row


def read_parquet_cases(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the cases of a Parquet file."""
    for row in read_parquet_table(data, path, problems, COLUMNS):
        if isinstance(row, MappingNode):
            cells = {column: member.node for column, member in row.members.items()}
            yield build_case_node(cells, row.where, problems)
        else:
            yield row


READERS: Mapping[str, CaseReader] = {
    ".yaml": read_yaml_cases,
    ".yml": read_yaml_cases,
    ".csv": read_csv_cases,
    ".tsv": partial(read_csv_cases, delimiter="\t"),
    ".jsonl": read_jsonl_cases,
    ".json": read_json_cases,
    ".parquet": read_parquet_cases,
}


def find_reader(name: str) -> CaseReader | None:
    """Return the reader for a file name, by its extension."""
    return READERS.get(PurePath(name).suffix.lower())
