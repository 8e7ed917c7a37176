"""A user's file as a tree in which every value knows its line and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.literals import Json
from evalkit.core.location import Location

MAX_DEPTH = 64
"""Lists and mappings inside each other; Python's recursion would end at about 1,000."""

MAX_TEXT = 8 * 2**20
"""Characters of one text, so of one prompt: twice what a million tokens take."""

MAX_DIGITS = 100
"""Of one number: far from 308, where whole numbers stop being convertible to decimals."""

ScalarKind: TypeAlias = Literal["text", "integer", "decimal", "boolean", "null"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """One value and the way it is written; `kind` is what it is taken for where any type may stand."""

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
    """A mapping from text; keys are in the order of the file."""

    members: Mapping[str, Member]
    where: Location


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidNode:
    """Something that a problem has been reported for already, so that readers pass it by."""

    where: Location


Node: TypeAlias = Scalar | ListNode | MappingNode | InvalidNode


class Member(NamedTuple):
    """What stands under a key, and where the key is."""

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
    """The plain JSON value of a node; None for what is broken."""
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
    """Whether a node is null or nothing at all."""
    return isinstance(node, Scalar) and node.kind == "null"


def describe_node(node: Node) -> str:
    """What kind of thing a node is, in words."""
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
    """A text in quotes for a message, cut when it is long."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def find_number_problem(text: str) -> str | None:
    """Why a number, as it is written, is not one to calculate with, if so."""
    if len(text) > MAX_DIGITS:
        return (
            f"a number of {len(text):,} digits; at most {MAX_DIGITS} are allowed. "
            f"Quote it to have it as text."
        )
    if not math.isfinite(float(text)):
        return f"numbers must be finite, and {text} is too large. Quote it to have it as text."
    return None
