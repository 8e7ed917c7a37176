"""Read typed values from the nodes of a user's file, and report values of any other type."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.core.eval_set import SHORTHAND
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.evalset.foreign_keys import explain_key, rename_keys
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    is_null,
    list_shared_keys,
    quote_short,
    suggest_similar,
    to_plain_value,
)
from evalkit.evalset.numbers import (
    find_bound_problem,
    find_share_problem,
    parse_rate,
    suggest_number,
)
from evalkit.evalset.value_types import (
    MAX_LABEL,
    AnyMapping,
    Choice,
    Flag,
    Integer,
    Keys,
    Label,
    Labels,
    Number,
    Rate,
    Section,
    SectionList,
    Share,
)

MAX_ENTRIES = 1_000
"""Metrics or rules in one list."""

MAX_UNKNOWN_KEYS = 20
"""Unknown keys reported per mapping. With more, it is a different kind of mapping."""


def find_label_problem(text: str) -> str | None:
    """Return why a text cannot be an id, name, or tag; any printable text can."""
    if not text.strip():
        return "must not be empty."
    if len(text) > MAX_LABEL:
        return f"{quote_short(text)} has {len(text):,} characters; at most {MAX_LABEL} are allowed."
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return (
            f"{quote_short(text)} contains a control character or half a surrogate pair. Remove it."
        )
    return None


def drop_none(given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the items that are not None, so that a record's defaults apply to the others."""
    return {name: value for name, value in given.items() if value is not None}


def _show_node(node: Node) -> str:
    if isinstance(node, Scalar) and node.kind == "text":
        return quote_short(node.text)
    return describe_node(node)


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldReader:
    """The members of one mapping, read by key and type.

    A wrong value is reported and then read as None, like a missing or null one. `owner` is the name of
    the mapping in messages. `keys` has the types of the values.
    """

    owner: str
    node: MappingNode
    problems: list[Problem]
    keys: Keys

    def get(self, key: str) -> Node | None:
        """Return the node under a key; None if it is missing, null, or reported already."""
        member = self.node.members.get(key)
        if member is None or isinstance(member.node, InvalidNode) or is_null(member.node):
            return None
        return member.node

    def is_empty(self, key: str) -> bool:
        """Return whether a key is missing or null; a value that was reported is neither."""
        member = self.node.members.get(key)
        return member is None or is_null(member.node)

    def report_problem(self, message: str, place: Node | Location | None = None) -> None:
        """Report a problem with the mapping, or with a place in it."""
        where = place if isinstance(place, Location) else (place or self.node).where
        self.problems.append(Problem(message=f"{self.owner}: {message}", where=where))

    def read(self, key: str) -> Json:
        """Read a value as its type in `keys` requires; a section has a reader of its own."""
        node, kind = self.get(key), self.keys[key]
        # A key without a value, as in `seed:`, is treated like a missing key, so the default applies.
        if node is None:
            return None
        match kind:
            case Label():
                return self.label(key)
            case Labels():
                return self.labels(key)
            case Number() | Share():
                return self._number(key, node, kind)
            case Rate():
                return self._rate(key, node)
            case Integer():
                return self._integer(key, node, kind)
            case Flag():
                if isinstance(node, Scalar) and node.kind == "boolean":
                    return node.text == "true"
                self.report_problem(f"{key} must be true or false, not {_show_node(node)}.", node)
            case Choice():
                return self._choice(key, node, kind)
            case AnyMapping():
                if isinstance(node, MappingNode):
                    return to_plain_value(node)
                self.report_problem(f"{key} must be a mapping, not {describe_node(node)}.", node)
            case _:
                return self.text(key)
        return None

    def read_all(self, *skipped: str) -> dict[str, Json]:
        """Read every value that is given, except sections and the keys in `skipped`."""
        given = {}
        for key in self.node.members:
            kind = self.keys.get(key)  # None for an unknown key, which was reported
            if kind and key not in skipped and not isinstance(kind, Section | SectionList):
                given[key] = self.read(key)
        return drop_none(given)

    def text(self, key: str) -> str | None:
        """Read text as written, whatever type it would have elsewhere: `id: 12` is "12"."""
        node = self.get(key)
        if isinstance(node, Scalar):
            return node.text
        if node is not None:
            self.report_problem(f"{key} must be text, not {describe_node(node)}.", node)
        return None

    def required_text(self, key: str) -> str | None:
        """Read text that must be given; a written `null` or `~` is text here."""
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
        """Read text that names something."""
        text = self.text(key)
        return None if text is None else self.check_label(text, key)

    def labels(self, key: str) -> tuple[str, ...] | None:
        """Read a list of labels, without duplicates."""
        node = self.get(key)
        if node is None:
            return None
        if not isinstance(node, ListNode):
            example = f" Write [{node.text}]." if isinstance(node, Scalar) else ""
            self.report_problem(
                f"{key} must be a list of texts, not {describe_node(node)}.{example}", node
            )
            return None
        found: dict[str, None] = {}  # not a set, because it must keep the order
        for item in node.items:
            if isinstance(item, Scalar):
                label = self.check_label(item.text, f"{key} item", item)
                found.update({} if label is None else {label: None})
            elif not isinstance(item, InvalidNode):
                self.report_problem(
                    f"{key} must be a list of texts; it contains {describe_node(item)}.", item
                )
        return tuple(found)

    def items(self, key: str) -> tuple[Node, ...] | None:
        """Return the nodes of a list."""
        node = self.get(key)
        if isinstance(node, ListNode):
            return node.items
        if node is not None:
            self.report_problem(f"{key} must be a list, not {describe_node(node)}.", node)
        return None

    def check_label(self, text: str, key: str, node: Node | None = None) -> str | None:
        """Return the text, or report why it cannot name anything."""
        problem = find_label_problem(text)
        if problem is None:
            return text
        self.report_problem(f"{key} {problem}", node or self.get(key))
        return None

    def _number(self, key: str, node: Node, kind: Number | Share) -> float | None:
        if not (isinstance(node, Scalar) and node.kind in ("integer", "decimal")):
            # YAML 1.1 reads `.inf` as a number; here it is text, and the message must say what is wrong.
            bare = node.text.lstrip("+-.").casefold() if isinstance(node, Scalar) else ""
            is_infinite = bare in ("nan", "inf", "infinity")
            expected = "finite" if is_infinite else "a number such as 20 or 0.5"
            advice = suggest_number(node.text) if isinstance(node, Scalar) else ""
            self.report_problem(f"{key} must be {expected}, not {_show_node(node)}.{advice}", node)
            return None
        value = float(node.text)
        problem = (
            find_share_problem(value, node.text)
            if isinstance(kind, Share)
            else find_bound_problem(value, node.text, kind)
        )
        if problem:
            self.report_problem(f"{key} {problem}", node)
        return None if problem else value

    def _rate(self, key: str, node: Node) -> float | None:
        rate = parse_rate(node.text) if isinstance(node, Scalar) else None
        if rate is None:
            advice = "must be calls per second, minute or hour, such as 5/s, 60/min or 1000/h"
            self.report_problem(f"{key} {advice}, not {_show_node(node)}.", node)
        return rate

    def _integer(self, key: str, node: Node, kind: Integer) -> int | str | None:
        if kind.word and isinstance(node, Scalar) and node.text == kind.word:
            return kind.word
        if not (isinstance(node, Scalar) and node.kind == "integer"):
            advice = suggest_number(node.text) if isinstance(node, Scalar) else ""
            message = f"{key} must be a whole number, not {_show_node(node)}.{advice}"
            self.report_problem(message, node)
            return None
        value = int(node.text)
        if not kind.at_least <= value <= kind.at_most:
            bounds = f"from {kind.at_least:,} to {kind.at_most:,}"
            self.report_problem(f"{key} must be {bounds}, not {node.text}.", node)
            return None
        if kind.odd and value % 2 == 0:
            self.report_problem(f"{key} must be an odd number, not {node.text}.", node)
            return None
        return value

    def _choice(self, key: str, node: Node, kind: Choice) -> str | None:
        if isinstance(node, Scalar) and node.text in kind.words:
            return node.text
        near = suggest_similar(node.text, kind.words) if isinstance(node, Scalar) else ""
        self.report_problem(
            f"{key} must be {' or '.join(kind.words)}, not {_show_node(node)}{near or '.'}", node
        )
        return None


def read_mapping(node: Node, owner: str, keys: Keys, problems: list[Problem]) -> FieldReader | None:
    """Return a reader of a node that must be a mapping; report keys other than `keys`."""
    if not isinstance(node, MappingNode):
        # The parser has already reported an invalid node.
        if not isinstance(node, InvalidNode):
            message = (
                f"{owner} must be a mapping with {', '.join(keys)}; not {describe_node(node)}."
            )
            problems.append(Problem(message=message, where=node.where))
        return None
    known = {*keys, *list_shared_keys(node, keys)}
    unknown = [key for key in node.members if key not in known]
    named = rename_keys(node, unknown, keys)
    fields = FieldReader(owner=owner, node=named, problems=problems, keys=keys)
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        near = explain_key(key, keys) or f". Known keys: {', '.join(keys)}."
        fields.report_problem(f"unknown key {quote_short(key)}{near}", node.members[key].where)
    if len(unknown) > MAX_UNKNOWN_KEYS:
        next_key = node.members[unknown[MAX_UNKNOWN_KEYS]]
        fields.report_problem(
            f"{len(unknown) - MAX_UNKNOWN_KEYS:,} more unknown keys.", next_key.where
        )
    return fields


def read_entries(key: str, node: Node, problems: list[Problem]) -> tuple[Node, ...]:
    """Return the items of a list of metrics, rules, or criteria."""
    if isinstance(node, ListNode) and len(node.items) <= MAX_ENTRIES:
        return node.items
    if isinstance(node, ListNode):
        message = f"{key} has {len(node.items):,} items; at most {MAX_ENTRIES:,} are allowed."
    else:
        advice = "Begin each item with '- '."
        if isinstance(node, Scalar) and not is_null(node):
            advice = f"Write [{node.text}]."
        message = f"{key} must be a list, not {describe_node(node)}. {advice}"
    problems.append(Problem(message=message, where=node.where))
    return ()


def read_args(node: Node) -> dict[str, Json]:
    """Return arguments as written; a value in place of a mapping is under SHORTHAND."""
    if isinstance(node, MappingNode):
        return {key: to_plain_value(member.node) for key, member in node.members.items()}
    is_nothing = is_null(node) or isinstance(node, InvalidNode)
    return {} if is_nothing else {SHORTHAND: to_plain_value(node)}
