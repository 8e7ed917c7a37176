"""Build a tree of nodes from the events of a YAML parser, with anchors, aliases, and merge keys.

An alias is the node of its anchor, so it takes no memory. A reader of the tree sees it written out,
so its values are counted as if they were, before anything is built from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol, cast

import yaml

from evalkit.core.location import Location, Problem
from evalkit.evalset.nodes import (
    MAX_DEPTH,
    MAX_PROBLEMS,
    MAX_TEXT,
    SHARED_PREFIX,
    InvalidNode,
    ListNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    ScalarKind,
    describe_node,
    find_number_problem,
    quote_short,
)
from evalkit.evalset.written_out import Size, StopReading, WrittenOutSize

_PLAIN_SCALAR = re.compile(
    r"(?P<integer>-?(?:0|[1-9][0-9]*))|(?P<decimal>-?(?:0|[1-9][0-9]*)\.[0-9]+)"
    r"|(?P<boolean>true|false)|(?P<null>|~|null)"
)


class _Mark(Protocol):
    """The common part of the marks of libyaml and PyYAML, which count from 0."""

    line: int
    column: int
    index: int


def locate(mark: _Mark | None, path: str) -> Location:
    """Return the location of a mark; only the file if there is none."""
    if mark is None:
        return Location(path=path)
    return Location(path=path, line=mark.line + 1, column=mark.column + 1)


def _position(where: Location) -> str:
    return f"{where.line}:{where.column}"


def _plain_kind(text: str) -> ScalarKind:
    match = _PLAIN_SCALAR.fullmatch(text)
    return cast("ScalarKind", match.lastgroup) if match else "text"


def _is_merge_key(event: yaml.ScalarEvent) -> bool:
    return bool(event.value == "<<" and event.implicit[0])


@dataclass(slots=True)
class _Anchor:
    """A node with a name; `node` is None until its end has been read.

    `size` counts what it contains, or what came before it while it is open. `height` is the number of
    levels in it, and `top_key` the key at the top of the file that it is under.
    """

    where: Location
    size: Size
    top_key: str
    node: Node | None = None
    height: int = 0


class _Open:
    """A list or mapping whose end has not been read yet."""

    def __init__(self, where: Location, anchor: _Anchor | None) -> None:
        self.where = where
        self.anchor = anchor
        self.height = 1


class _OpenList(_Open):
    def __init__(self, where: Location, anchor: _Anchor | None) -> None:
        super().__init__(where, anchor)
        self.items: list[Node] = []

    def close(self) -> Node:
        return ListNode(items=tuple(self.items), where=self.where)


class _OpenMapping(_Open):
    """A mapping; `key` is the key without a value so far.

    `merged` has the members that its key `<<` takes from other mappings, and `merge_key` the place of
    that key.
    """

    def __init__(self, where: Location, anchor: _Anchor | None) -> None:
        super().__init__(where, anchor)
        self.members: dict[str, Member] = {}
        self.key: Node | None = None
        self.merge_key: Location | None = None
        self.expects_merged = False
        self.merged: dict[str, Member] = {}

    @property
    def expects_key(self) -> bool:
        """Whether the next node is a key."""
        return self.key is None and not self.expects_merged

    def close(self) -> Node:
        # A key of the mapping itself replaces a merged one, in whatever order they are written.
        return MappingNode(members={**self.merged, **self.members}, where=self.where)


class TreeBuilder:
    """Builds a node tree from the parser's events, without recursion."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        self._root: Node | None = None
        self._open: list[_OpenList | _OpenMapping] = []
        self._anchors: dict[str, _Anchor] = {}
        self._shared_keys: set[str] = set()
        self._size = WrittenOutSize()
        self._documents = 0
        self._reported = 0

    @property
    def root(self) -> Node | None:
        """The whole document; its keys that only hold parts for aliases are marked as shared."""
        if not isinstance(self._root, MappingNode):
            return self._root
        extra = {key for key in self._root.members if key.startswith(SHARED_PREFIX)}
        return replace(self._root, shared_keys=frozenset(self._shared_keys | extra))

    def add_event(self, event: yaml.Event) -> None:
        """Add the next event of the file."""
        match event:
            case yaml.ScalarEvent():
                self._add_scalar(event)
            case yaml.SequenceStartEvent():
                self._push(_OpenList(*self._begin_node(event)))
            case yaml.MappingStartEvent():
                self._push(_OpenMapping(*self._begin_node(event)))
            case yaml.CollectionEndEvent():
                closed = self._open.pop()
                self._add(self._complete(closed.anchor, closed.close(), closed.height))
                self._raise_height(closed.height)
            case yaml.AliasEvent():
                self._add(self._read_alias(event))
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise StopReading(
                        "a second document begins. Keep one document per file.",
                        locate(event.start_mark, self.path),
                    )

    def _begin_node(self, event: yaml.NodeEvent) -> tuple[Location, _Anchor | None]:
        """Count a node, and return its location and its anchor, if it has one."""
        where = locate(event.start_mark, self.path)
        anchor = None if event.anchor is None else self._open_anchor(event.anchor, where)
        self._size.add_node(where)
        tag = getattr(event, "tag", None)
        if tag is not None:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            self._report(f"tags ({tag[:60]}) are not allowed. Remove it.", where)
        return where, anchor

    def _open_anchor(self, name: str, where: Location) -> _Anchor:
        anchor = _Anchor(where, self._size.total, self._find_top_key())
        first = self._anchors.setdefault(name, anchor)
        if first is not anchor:
            # YAML readers disagree: some refuse it, some take the last one.
            self._report(
                f"a second anchor &{name[:60]}; the first is at {_position(first.where)}. "
                f"Give it another name.",
                where,
            )
        return anchor

    def _complete(self, anchor: _Anchor | None, node: Node, height: int) -> Node:
        if anchor is not None:
            anchor.size = self._size.total.minus(anchor.size)
            anchor.node, anchor.height = node, height
        return node

    def _find_top_key(self) -> str:
        """Return the key at the top of the file that is being read; empty outside of one."""
        top = self._open[0] if self._open else None
        key = top.key if isinstance(top, _OpenMapping) else None
        return key.text if isinstance(key, Scalar) else ""

    def _read_alias(self, event: yaml.AliasEvent) -> Node:
        where, name = locate(event.start_mark, self.path), (event.anchor or "")[:60]
        anchor = self._anchors.get(event.anchor or "")
        if anchor is None:
            self._report(f"alias *{name} has no anchor &{name} above it. Add one.", where)
            return InvalidNode(where=where)
        if anchor.node is None:
            self._report(
                f"alias *{name} is inside of its own anchor &{name}, so it never ends. "
                f"Write the value out.",
                where,
            )
            return InvalidNode(where=where)
        if len(self._open) + anchor.height > MAX_DEPTH:
            raise StopReading(f"nested more than {MAX_DEPTH} levels deep.", where)
        self._size.add_alias(anchor.size, where)
        self._raise_height(anchor.height)
        if anchor.top_key != (top_key := self._find_top_key()) and top_key:
            self._shared_keys.add(anchor.top_key)
        # A single value is located where it is used; a list or mapping where it is written.
        return replace(anchor.node, where=where) if anchor.height == 0 else anchor.node

    def _raise_height(self, height: int) -> None:
        if self._open:
            self._open[-1].height = max(self._open[-1].height, height + 1)

    def _add_scalar(self, event: yaml.ScalarEvent) -> None:
        top = self._open[-1] if self._open else None
        where, anchor = self._begin_node(event)
        if isinstance(top, _OpenMapping) and top.expects_key and _is_merge_key(event):
            self._begin_merge(top, where)
        else:
            self._add(self._complete(anchor, self._read_scalar(event, where), 0))

    def _read_scalar(self, event: yaml.ScalarEvent, where: Location) -> Node:
        text, plain = event.value, event.implicit[0]
        self._size.add_text(text)
        if len(text) > MAX_TEXT:
            self._report(
                f"text of {len(text):,} characters; at most {MAX_TEXT:,} are allowed.", where
            )
            return InvalidNode(where=where)
        kind = _plain_kind(text) if plain else "text"
        if kind in ("integer", "decimal") and (problem := find_number_problem(text)):
            self._report(problem, where)
            return InvalidNode(where=where)
        return Scalar(kind=kind, text=text, where=where)

    def _push(self, node: _OpenList | _OpenMapping) -> None:
        if len(self._open) == MAX_DEPTH:
            raise StopReading(f"nested more than {MAX_DEPTH} levels deep.", node.where)
        self._open.append(node)

    def _add(self, node: Node) -> None:
        top = self._open[-1] if self._open else None
        if top is None:
            self._root = node
        elif isinstance(top, _OpenList):
            top.items.append(node)
        elif top.expects_merged:
            self._merge(top, node)
        elif top.key is None:
            top.key = node
        else:
            self._add_member(top, top.key, node)
            top.key = None

    def _add_member(self, mapping: _OpenMapping, key: Node, node: Node) -> None:
        if isinstance(key, Scalar):
            # The first value wins, so that later readers report problems of one value only.
            member = Member(key.where, node)
            first = mapping.members.setdefault(key.text, member)
            if first is not member:
                self._report_duplicate(key.text, key.where, first.where)
        elif not isinstance(key, InvalidNode):
            self._report("a key must be text, not a list or mapping.", key.where)

    def _report_duplicate(self, key: str, where: Location, first: Location) -> None:
        self._report(
            f"duplicate key {quote_short(key)} at {_position(where)}; "
            f"the first is at {_position(first)}. Keep one.",
            where,
        )

    def _begin_merge(self, mapping: _OpenMapping, where: Location) -> None:
        if mapping.merge_key is not None:
            self._report_duplicate("<<", where, mapping.merge_key)
        mapping.merge_key, mapping.expects_merged = where, True

    def _merge(self, mapping: _OpenMapping, node: Node) -> None:
        """Take the keys of a mapping, or of the mappings in a list, of which the first has priority."""
        mapping.expects_merged = False
        known: list[Node] = []
        for source in node.items if isinstance(node, ListNode) else (node,):
            if any(source is each for each in known):
                self._report("`<<` names a mapping twice. Keep one.", node.where)
            elif isinstance(source, MappingNode):
                known.append(source)
                for key, member in source.members.items():
                    mapping.merged.setdefault(key, member)
            elif not isinstance(source, InvalidNode):
                self._report(
                    f"`<<` takes the keys of a mapping or of a list of mappings, not of "
                    f"{describe_node(source)}. Name the anchor of a mapping, as in `<<: *defaults`.",
                    source.where,
                )

    def _report(self, message: str, where: Location) -> None:
        self.problems.append(Problem(message=message, where=where))
        self._reported += 1
        if self._reported == MAX_PROBLEMS:
            raise StopReading("too many problems; the rest was not read.", where)
