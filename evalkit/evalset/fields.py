"""Nodes of a user's file turned into typed values, or into problems that say what was expected."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
    to_plain_value,
)

MAX_LABEL = 200
"""Characters of an id, name or tag: they go into tables, file names and JUnit reports."""

MAX_INTEGER = 2**63 - 1
"""What readers of JSON in other languages keep exactly."""

MAX_UNKNOWN_KEYS = 20
"""That are named of one mapping; with more it is another kind of mapping."""

Word = TypeVar("Word", bound=str)


def find_label_problem(text: str) -> str | None:
    """Why a text cannot be an id, name or tag, if so; every printable text can."""
    if not text.strip():
        return "must not be empty."
    if len(text) > MAX_LABEL:
        return f"{quote_short(text)} has {len(text):,} characters; at most {MAX_LABEL} are allowed."
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return f"{quote_short(text)} holds a control character or half a surrogate pair. Remove it."
    return None


def suggest_similar(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the known word most like an unknown one; empty if none is."""
    spellings = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word[:MAX_LABEL].casefold(), spellings, n=1)
    return f"; did you mean {spellings[near[0]]!r}?" if near else ""


def _show_node(node: Node) -> str:
    return (
        quote_short(node.text)
        if isinstance(node, Scalar) and node.kind == "text"
        else describe_node(node)
    )


def _is_infinite(node: Node) -> bool:
    bare = node.text.lstrip("+-.").casefold() if isinstance(node, Scalar) else ""
    return bare in ("nan", "inf", "infinity")


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldReader:
    """The members of one mapping, read by key and type.

    A wrong value is reported and read as None, as one that is absent or null; `owner` is what the
    mapping is called in messages.
    """

    owner: str
    node: MappingNode
    problems: list[Problem]

    def get(self, key: str) -> Node | None:
        """What stands under a key; None when that is nothing, null, or reported already."""
        member = self.node.members.get(key)
        if member is None or isinstance(member.node, InvalidNode) or is_null(member.node):
            return None
        return member.node

    def report_problem(self, message: str, place: Node | Location | None = None) -> None:
        """Report what is wrong with the mapping, or with a place in it."""
        where = place if isinstance(place, Location) else (place or self.node).where
        self.problems.append(Problem(message=f"{self.owner}: {message}", where=where))

    def text(self, key: str) -> str | None:
        """Text as it is written, whatever type it would have elsewhere: `id: 12` is "12"."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar):
            return node.text
        self.report_problem(f"{key} must be text, not {describe_node(node)}.", node)
        return None

    def required_text(self, key: str) -> str | None:
        """Text that may not be left out; a written `null` or `~` is text here."""
        member = self.node.members.get(key)
        if member is None:
            self.report_problem(f"{key} is missing. Add `{key}:`.")
            return None
        if isinstance(member.node, Scalar) and is_null(member.node):
            if not member.node.text:
                self.report_problem(
                    f'{key} is empty. Give it a value; "" is an empty text.', member.node
                )
                return None
            return member.node.text
        return self.text(key)

    def label(self, key: str) -> str | None:
        """Text that names something."""
        text = self.text(key)
        return None if text is None else self.check_label(text, key)

    def labels(self, key: str) -> tuple[str, ...] | None:
        """A list of texts that name something, each once."""
        node = self.get(key)
        if node is None:
            return None
        if not isinstance(node, ListNode):
            example = f" Write [{node.text}]." if isinstance(node, Scalar) else ""
            self.report_problem(
                f"{key} must be a list of texts, not {describe_node(node)}.{example}", node
            )
            return None
        found: dict[str, None] = {}
        for item in node.items:
            if isinstance(item, Scalar):
                label = self.check_label(item.text, f"{key} item", item)
                found.update({} if label is None else {label: None})
            elif not isinstance(item, InvalidNode):
                self.report_problem(
                    f"{key} must be a list of texts; {describe_node(item)} is in it.", item
                )
        return tuple(found)

    def number(
        self, key: str, *, above: float | None = None, at_least: float | None = None
    ) -> float | None:
        """A finite number."""
        node = self.get(key)
        if node is None:
            return None
        if not (isinstance(node, Scalar) and node.kind in ("integer", "decimal")):
            wanted = "finite" if _is_infinite(node) else "a number such as 20 or 0.5"
            self.report_problem(f"{key} must be {wanted}, not {_show_node(node)}.", node)
            return None
        value = float(node.text)
        if above is not None and value <= above:
            self.report_problem(f"{key} must be more than {above:g}, not {node.text}.", node)
        elif at_least is not None and value < at_least:
            self.report_problem(f"{key} must be {at_least:g} or more, not {node.text}.", node)
        else:
            return value
        return None

    def integer(
        self, key: str, *, at_least: int = -MAX_INTEGER, at_most: int = MAX_INTEGER
    ) -> int | None:
        """A whole number."""
        node = self.get(key)
        if node is None:
            return None
        if not (isinstance(node, Scalar) and node.kind == "integer"):
            self.report_problem(f"{key} must be a whole number, not {_show_node(node)}.", node)
            return None
        if not at_least <= int(node.text) <= at_most:
            self.report_problem(
                f"{key} must be from {at_least:,} to {at_most:,}, not {node.text}.", node
            )
            return None
        return int(node.text)

    def flag(self, key: str) -> bool | None:
        """`true` or `false`."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and node.kind == "boolean":
            return node.text == "true"
        self.report_problem(f"{key} must be true or false, not {_show_node(node)}.", node)
        return None

    def choice(self, key: str, words: Sequence[Word]) -> Word | None:
        """One of a few words."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar):
            for word in words:
                if word == node.text:
                    return word
        near = suggest_similar(node.text, words) if isinstance(node, Scalar) else ""
        self.report_problem(
            f"{key} must be {' or '.join(words)}, not {_show_node(node)}{near or '.'}", node
        )
        return None

    def items(self, key: str) -> tuple[Node, ...] | None:
        """The nodes of a list."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, ListNode):
            return node.items
        self.report_problem(f"{key} must be a list, not {describe_node(node)}.", node)
        return None

    def mapping(self, key: str) -> dict[str, Json] | None:
        """A mapping of any JSON values."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, MappingNode):
            return {name: to_plain_value(member.node) for name, member in node.members.items()}
        self.report_problem(f"{key} must be a mapping, not {describe_node(node)}.", node)
        return None

    def check_label(self, text: str, key: str, node: Node | None = None) -> str | None:
        """The text, unless it cannot name anything."""
        trouble = find_label_problem(text)
        if trouble is None:
            return text
        self.report_problem(f"{key} {trouble}", node or self.get(key))
        return None


def read_mapping(
    node: Node, owner: str, keys: Collection[str], problems: list[Problem]
) -> FieldReader | None:
    """The members of a node that must be a mapping; keys other than `keys` are reported."""
    if not isinstance(node, MappingNode):
        if not isinstance(node, InvalidNode):
            message = (
                f"{owner} must be a mapping with {', '.join(keys)}; not {describe_node(node)}."
            )
            problems.append(Problem(message=message, where=node.where))
        return None
    fields = FieldReader(owner=owner, node=node, problems=problems)
    unknown = [key for key in node.members if key not in keys]
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        near = suggest_similar(key, keys) or f". Known keys: {', '.join(keys)}."
        fields.report_problem(f"unknown key {quote_short(key)}{near}", node.members[key].where)
    if len(unknown) > MAX_UNKNOWN_KEYS:
        next_key = node.members[unknown[MAX_UNKNOWN_KEYS]]
        fields.report_problem(
            f"{len(unknown) - MAX_UNKNOWN_KEYS:,} more unknown keys.", next_key.where
        )
    return fields
