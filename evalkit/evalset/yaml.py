"""Parse YAML into a tree of nodes, and report problems with their lines.

This is a strict subset of YAML that every reader understands the same way: one document without
anchors, aliases, merge keys, tags, or duplicate keys. The plain scalars with a type are `true` and
`false`, integers, decimals, and `null` (also `~` and empty). Everything else, such as `no`, `0123`,
`1:30`, `1_000`, `1e3`, or a date, is text as written.
"""

from __future__ import annotations

import itertools
import re
from typing import Protocol, cast

import yaml

from evalkit.core.location import Location, Problem
from evalkit.core.safe_text import escape_character
from evalkit.core.source_files import decode_utf8
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

MAX_NODES = 2_000_000
"""Nodes of one file. A node takes about 200 bytes of memory; a typical case has ten."""

MAX_PROBLEMS = 100
"""Problems of one file. With more, one mistake is repeated or it is a different kind of file."""

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, eight times as fast, if PyYAML was built with it. Only its parser is used."""

_PLAIN_SCALAR = re.compile(
    r"(?P<integer>-?(?:0|[1-9][0-9]*))|(?P<decimal>-?(?:0|[1-9][0-9]*)\.[0-9]+)"
    r"|(?P<boolean>true|false)|(?P<null>|~|null)"
)
# YAML's c-printable without the line breaks that only YAML 1.1 knows: libyaml silently folds them into
# a space, and other readers count lines differently.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_ADVICE = (
    ("mapping values are not allowed", "Quote text that contains ': ', and align keys."),
    ("cannot start any token", "Quote text that begins with '@', '`' or '%'."),
    ("Unicode character escape", r"Write the character itself or \U and eight hex digits."),
    ("unknown escape character", "Use single quotes where backslashes are meant as such."),
    ("while scanning a quoted scalar", "Close the quotes."),
    ("while parsing a flow", "Close the bracket, and put commas between the items."),
)
_NO_CONTEXT = "while scanning for the next token"


class _Mark(Protocol):
    """The common part of the marks of libyaml and PyYAML, which count from 0."""

    line: int
    column: int
    index: int


class _StopReading(Exception):
    """The file breaks a rule in a way that makes the rest of it unreadable."""

    def __init__(self, message: str, where: Location) -> None:
        super().__init__(message)
        self.problem = Problem(message=message, where=where)


def _locate(mark: _Mark | None, path: str) -> Location:
    if mark is None:
        return Location(path=path)
    return Location(path=path, line=mark.line + 1, column=mark.column + 1)


def _position(where: Location) -> str:
    return f"{where.line}:{where.column}"


def _plain_kind(text: str) -> ScalarKind:
    match = _PLAIN_SCALAR.fullmatch(text)
    return cast("ScalarKind", match.lastgroup) if match else "text"


class _OpenList:
    """A list whose end has not been read yet."""

    def __init__(self, where: Location) -> None:
        self.where = where
        self.items: list[Node] = []

    def close(self) -> Node:
        return ListNode(items=tuple(self.items), where=self.where)


class _OpenMapping:
    """A mapping whose end has not been read yet; `key` is the key without a value so far."""

    def __init__(self, where: Location) -> None:
        self.where = where
        self.members: dict[str, Member] = {}
        self.key: Node | None = None

    def close(self) -> Node:
        return MappingNode(members=self.members, where=self.where)


class _TreeBuilder:
    """Builds a node tree from the parser's events, without recursion."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        self.root: Node | None = None
        self._open: list[_OpenList | _OpenMapping] = []
        self._aliases: set[str] = set()
        self._nodes = 0
        self._documents = 0
        self._reported = 0

    def add_event(self, event: yaml.Event) -> None:
        """Add the next event of the file."""
        match event:
            case yaml.ScalarEvent():
                self._add(self._read_scalar(event))
            case yaml.SequenceStartEvent():
                self._push(_OpenList(self._begin_node(event)))
            case yaml.MappingStartEvent():
                self._push(_OpenMapping(self._begin_node(event)))
            case yaml.CollectionEndEvent():
                self._add(self._open.pop().close())
            case yaml.AliasEvent():
                where = _locate(event.start_mark, self.path)
                self._report_alias(event.anchor or "", where)
                self._add(InvalidNode(where=where))
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _StopReading(
                        "a second document begins. Keep one document per file.",
                        _locate(event.start_mark, self.path),
                    )

    def _begin_node(self, event: yaml.NodeEvent) -> Location:
        where = _locate(event.start_mark, self.path)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _StopReading(f"the file has more than {MAX_NODES:,} values. Split it.", where)
        if event.anchor is not None:
            self._report(f"anchors (&{event.anchor[:60]}) are not allowed. Write it out.", where)
        tag = getattr(event, "tag", None)
        if tag is not None:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            self._report(f"tags ({tag[:60]}) are not allowed. Remove it.", where)
        return where

    def _read_scalar(self, event: yaml.ScalarEvent) -> Node:
        where = self._begin_node(event)
        text, plain = event.value, event.implicit[0]
        if len(text) > MAX_TEXT:
            self._report(
                f"text of {len(text):,} characters; at most {MAX_TEXT:,} are allowed.", where
            )
            return InvalidNode(where=where)
        if plain and text == "<<" and self._expects_key():
            self._report("merge keys (<<) are not allowed. Write the keys out.", where)
            return InvalidNode(where=where)
        kind = _plain_kind(text) if plain else "text"
        if kind in ("integer", "decimal") and (problem := find_number_problem(text)):
            self._report(problem, where)
            return InvalidNode(where=where)
        return Scalar(kind=kind, text=text, where=where)

    def _expects_key(self) -> bool:
        top = self._open[-1] if self._open else None
        return isinstance(top, _OpenMapping) and top.key is None

    def _push(self, node: _OpenList | _OpenMapping) -> None:
        if len(self._open) == MAX_DEPTH:
            raise _StopReading(f"nested more than {MAX_DEPTH} levels deep.", node.where)
        self._open.append(node)

    def _add(self, node: Node) -> None:
        top = self._open[-1] if self._open else None
        if top is None:
            self.root = node
        elif isinstance(top, _OpenList):
            top.items.append(node)
        elif top.key is None:
            top.key = node
        else:
            self._add_member(top, top.key, node)
            top.key = None

    def _add_member(self, mapping: _OpenMapping, key: Node, node: Node) -> None:
        if isinstance(key, Scalar):
            # The first value wins, so that later readers report problems of one value only.
            first = mapping.members.setdefault(key.text, Member(key.where, node))
            if first.where is not key.where:
                self._report(
                    f"duplicate key {quote_short(key.text)} at {_position(key.where)}; "
                    f"the first is at {_position(first.where)}. Keep one.",
                    key.where,
                )
        elif not isinstance(key, InvalidNode):
            self._report("a key must be text, not a list or mapping.", key.where)

    def _report_alias(self, name: str, where: Location) -> None:
        if name not in self._aliases:
            self._aliases.add(name)
            self._report(f"aliases (*{name[:60]}) are not allowed. Write it out.", where)

    def _report(self, message: str, where: Location) -> None:
        self.problems.append(Problem(message=message, where=where))
        self._reported += 1
        if self._reported == MAX_PROBLEMS:
            raise _StopReading("too many problems; the rest was not read.", where)


def _find_forbidden(text: str, path: str) -> list[Problem]:
    """Return a problem for each of the first characters that YAML does not allow unescaped."""
    problems = []
    for match in itertools.islice(_FORBIDDEN.finditer(text), MAX_PROBLEMS):
        start = match.start()
        message = (
            f"YAML does not allow the character U+{ord(match[0]):04X} unescaped. "
            f'Write it as "{escape_character(match)}" in double quotes.'
        )
        where = Location(
            path=path,
            line=text.count("\n", 0, start) + 1,
            column=start - text.rfind("\n", 0, start),
        )
        problems.append(Problem(message=message, where=where))
    return problems


def _describe_syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> Problem:
    mark, begin = error.problem_mark, error.context_mark
    where = _locate(mark or begin, path)
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return Problem(message="a tab cannot indent YAML; use spaces.", where=where)
    words = error.problem or "it ends too early"
    if "nesting depth" in words:  # newer libyaml reads ahead and has a limit of its own
        return Problem(message=f"nested more than {MAX_DEPTH} levels deep.", where=where)
    if error.context and error.context != _NO_CONTEXT:
        words += f", {error.context}"
    if begin is not None and begin.line + 1 != where.line:
        words += f" that begins in line {begin.line + 1}"
    advice = next((advice for part, advice in _ADVICE if part in words), "Fix the syntax.")
    return Problem(message=f"not valid YAML: {words}. {advice}", where=where)


def parse_yaml(data: bytes, path: str, problems: list[Problem]) -> Node | None:
    """Return the one document of a YAML file; None if there is none or it is unreadable.

    `path` is the file's name in locations. Every syntax problem is added to `problems`.
    The size of `data` bounds memory and time.
    """
    text = decode_utf8(data, path, problems)
    if text is None:
        return None
    if forbidden := _find_forbidden(text, path):
        problems += forbidden
        return None
    tree = _TreeBuilder(path, problems)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            tree.add_event(event)
    except _StopReading as stop:
        problems.append(stop.problem)
    except yaml.MarkedYAMLError as error:
        problems.append(_describe_syntax_error(error, text, path))
    else:
        return tree.root
    return None
