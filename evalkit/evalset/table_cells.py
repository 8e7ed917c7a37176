"""Turn a row of a table into the node of a case: each cell by its column, JSON in a cell as what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.core.location import Location, Problem
from evalkit.evalset.json_nodes import JsonSyntaxError, parse_json_node
from evalkit.evalset.keys import CRITERIA
from evalkit.evalset.nodes import InvalidNode, ListNode, MappingNode, Member, Node, Scalar
from evalkit.evalset.value_types import Columns

COLUMNS = Columns(
    known=(
        *("id", "input", "expected", "draft", "tags", "cluster", "metadata", "provenance"),
        "metrics",
        CRITERIA,
    ),
    required=("id", "input"),
    prefixes=("expected.", "metadata."),
)
"""The columns of a table of cases. A column `expected.NAME` sets NAME in the mapping `expected`."""

_SEPARATORS = {
    "tags": re.compile("[;,]"),
    "metrics": re.compile("[;,]"),
    CRITERIA: re.compile("\n"),
}
"""What separates the items of a cell that is one text, in columns that take a list."""

_CONVERSATION_START = re.compile(r'\s*\[\s*\{\s*"(?:role|content)"\s*:')
"""How a cell of `input` begins that lists turns. Any other text is a prompt, brackets and all."""

_PLAIN_COLUMNS = ("id", "cluster")
"""Columns in which every cell is text."""

# How a list or mapping begins when somebody meant one: `["a`, `[1, `, `['a'`, `{"a"`, `{a: `.
# `[see note]`, `[1] in the list`, `{name}`, and `{{name}}` are text.
_MAPPING_START = r"""\{\s*+(?:["'“‘]|[\w.-]++\s*+:\s)"""
_NUMBER_OR_WORD = r"(?:-?\d[\d.eE+-]*+|[Tt]rue|[Ff]alse|[Nn]ull|None|[Nn]a[Nn])\s*+(?:,|\]?\Z)"
_LIST_START = rf"""\[[\s\[]*+(?:["'“‘]|{_MAPPING_START}|{_NUMBER_OR_WORD})"""
_JSON_START = re.compile(f"{_MAPPING_START}|{_LIST_START}")


def build_case_node(
    cells: Mapping[str, Node], where: Location, problems: list[Problem]
) -> MappingNode:
    """Return a row as the mapping that a case is in YAML; `cells` has the values of its columns."""
    nodes = {}
    for column, cell in cells.items():
        if column in _SEPARATORS and isinstance(cell, Scalar) and not cell.text.strip():
            continue
        try:
            nodes[tuple(column.split("."))] = _read_cell(column, cell)
        except ValueError as error:
            problems.append(Problem(message=f"column {column!r}: {error}", where=where))
            nodes[tuple(column.split("."))] = InvalidNode(where=where)
    return _nest(nodes, where)


def _nest(nodes: Mapping[tuple[str, ...], Node], where: Location) -> MappingNode:
    """Return the mapping of values at paths: `("expected", "city")` is `city` in `expected`."""
    groups: dict[str, dict[tuple[str, ...], Node]] = {}
    for (key, *rest), node in nodes.items():
        groups.setdefault(key, {})[tuple(rest)] = node
    members = {
        key: Member(where, group[()] if () in group else _nest(group, where))
        for key, group in groups.items()
    }
    return MappingNode(members=members, where=where)


def _read_cell(column: str, cell: Node) -> Node:
    """Return the value of a cell.

    Raises:
        ValueError: the cell begins like JSON and is none.
    """
    if column in _PLAIN_COLUMNS:
        return cell
    if isinstance(cell, Scalar) and cell.kind == "text":
        if column == "input" and not _CONVERSATION_START.match(cell.text):
            return cell
        value = _read_json_cell(cell) or _split_cell(column, cell)
    else:
        value = cell
    if column in _SEPARATORS and isinstance(value, MappingNode):
        return ListNode(items=(value,), where=cell.where)
    return value


def _read_json_cell(cell: Scalar) -> Node | None:
    """Return the list or mapping that a cell holds as JSON; None if it holds other text."""
    text = cell.text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        return parse_json_node(text, cell.where)
    except JsonSyntaxError as error:
        if not _looks_like_json(text):
            return None
        kind = "list" if text.startswith("[") else "mapping"
        example = '["a", "b"]' if kind == "list" else '{"a": 1}'
        raise ValueError(
            f"the cell begins like a {kind}, but is {error}. Write it as JSON, as in {example}."
        ) from None


def _looks_like_json(text: str) -> bool:
    """Return whether somebody probably meant a list or mapping; taken for text, it would match nothing."""
    if _JSON_START.match(text):
        return True
    inside = text[1:-1]
    return (
        text.startswith("[") and text.endswith("]") and "," in inside and not set(inside) & {*"[]"}
    )


def _split_cell(column: str, cell: Scalar) -> Node:
    separator = _SEPARATORS.get(column)
    if separator is None:
        return cell
    texts = filter(None, map(str.strip, separator.split(cell.text)))
    items = tuple(Scalar(kind="text", text=text, where=cell.where) for text in texts)
    return ListNode(items=items, where=cell.where)
