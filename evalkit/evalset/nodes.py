"""The node tree of a user's file: every value knows its location and its text as written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.literals import Json
from evalkit.core.location import Location

MAX_DEPTH = 64
"""Nesting depth of lists and mappings. Python's recursion ends at about 1,000."""

MAX_TEXT = 8 * 2**20
"""Characters of one text, and so of one prompt: twice the size of a million tokens."""

MAX_DIGITS = 100
"""Digits of one number: far below 308, where integers stop being convertible to floats."""

MAX_NODES = 2_000_000
"""Values of one file. A node takes about 200 bytes of memory; a typical case has ten."""

MAX_PROBLEMS = 100
"""Problems of one file. With more, one mistake is repeated or it is a different kind of file."""

SHARED_PREFIX = "x-"
"""A key at the top that begins so holds parts for aliases, as in Compose files and OpenAPI."""

ScalarKind: TypeAlias = Literal["text", "integer", "decimal", "boolean", "null"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """One value as written; `kind` is its type where a value of any type is allowed."""

    kind: ScalarKind
    text: str
    where: Location


@dataclass(frozen=True, kw_only=True, slots=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    where: Location


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingNode:
    """A mapping with text keys, in the order of the file.

    At the top of a YAML file, `shared_keys` names keys that hold parts for aliases elsewhere in it.
    """

    members: Mapping[str, Member]
    where: Location
    shared_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidNode:
    """A value with a reported problem, which readers skip."""

    where: Location


Node: TypeAlias = Scalar | ListNode | MappingNode | InvalidNode


class Member(NamedTuple):
    """The value under a key, and the location of the key."""

    where: Location
    node: Node


def _scalar_value(node: Scalar) -> Json:
    match node.kind:
        case "text":
            return node.text
        case "integer":
            return int(node.text)
        case "decimal":
            return float(node.text)
        case "boolean":
            return node.text == "true"
        case "null":
            return None


def to_plain_value(node: Node) -> Json:
    """Return the plain JSON value of a node; None for an invalid one."""
    match node:
        case Scalar():
            return _scalar_value(node)
        case ListNode():
            return [to_plain_value(item) for item in node.items]
        case MappingNode():
            return {key: to_plain_value(member.node) for key, member in node.members.items()}
        case InvalidNode():
            return None


def is_null(node: Node) -> bool:
    """Return whether a node is null or empty."""
    return isinstance(node, Scalar) and node.kind == "null"


def describe_node(node: Node) -> str:
    """Return a phrase for the kind of a node."""
    match node:
        case ListNode():
            return "a list"
        case MappingNode():
            return "a mapping"
        case Scalar(kind="text"):
            return "text"
        case Scalar(kind="null"):
            return "nothing"
        case Scalar():
            return node.text
        case InvalidNode():
            return "something unreadable"


def quote_short(text: str) -> str:
    """Return a text in quotes for a message, shortened if it is long."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def suggest_similar(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the most similar known word; empty if none is."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word[:200].casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""


def list_shared_keys(node: MappingNode, known: Iterable[str]) -> list[str]:
    """Return the keys that only hold parts for aliases, without any that is a typo of a known key."""
    names = list(known)
    return [
        key
        for key in node.shared_keys
        if key.startswith(SHARED_PREFIX)
        # A higher cutoff than that of suggestions: `base` is not a typo of `cases`.
        or not difflib.get_close_matches(key[:200].casefold(), names, n=1, cutoff=0.7)
    ]


def find_number_problem(text: str) -> str | None:
    """Return why a number as written cannot be used in calculations; None if it can."""
    if len(text) > MAX_DIGITS:
        return (
            f"a number of {len(text):,} digits; at most {MAX_DIGITS} are allowed. "
            f"Quote it to make it text."
        )
    if not math.isfinite(float(text)):
        return f"numbers must be finite, but {text} is too large. Quote it to make it text."
    return None
