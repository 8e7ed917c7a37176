"""The types of values that a key of a user's file can have, for the loader and the JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, TypeAlias

MAX_LABEL = 200
"""Characters of an id, name, or tag. They appear in tables, file names, and JUnit reports."""

MAX_INTEGER = 2**63 - 1
"""The largest integer that JSON readers in other languages keep exactly."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of value. `doc` describes the key; editors show it."""

    doc: str = ""


class Text(ValueType):
    """Text, kept as written: `12` and `true` are text here."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Label(ValueType):
    """Text that names something; all of it matches the regular expression `pattern`, if given."""

    _: KW_ONLY
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Labels(ValueType):
    """A list of labels. Each matches the regular expression `pattern` or is one of `words`, if given."""

    _: KW_ONLY
    pattern: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number(ValueType):
    """A finite number within bounds. `advice` follows the message about a value out of bounds."""

    _: KW_ONLY
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    advice: str = ""


RATE_PATTERN = r"([0-9]+(?:\.[0-9]+)?) ?/ ?(s|min|h)"


class Rate(ValueType):
    """A number of calls per second, minute, or hour, as in `60/min`; it is read as calls per second."""

    __slots__ = ()


class Share(ValueType):
    """A number from 0 to 1."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Integer(ValueType):
    """A whole number within bounds, or the text `word` if there is one."""

    _: KW_ONLY
    at_least: int = -MAX_INTEGER
    at_most: int = MAX_INTEGER
    odd: bool = False
    word: str = ""


class Flag(ValueType):
    """`true` or `false`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Choice(ValueType):
    """One of a few words."""

    _: KW_ONLY
    words: tuple[str, ...]


class AnyMapping(ValueType):
    """A mapping of any JSON values."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Section(ValueType):
    """A value with a reader of its own; the JSON Schemas define it under the name `of`."""

    _: KW_ONLY
    of: str


@dataclass(frozen=True, slots=True)
class SectionList(ValueType):
    """A list of values with a reader of their own, as in `Section`."""

    _: KW_ONLY
    of: str
    at_least: int = 0
    at_most: int | None = None


Keys: TypeAlias = Mapping[str, ValueType]
"""The keys that a mapping may have, in the order in which messages list them."""


class Columns(NamedTuple):
    """The columns that a table may and must have; every name with one of `prefixes` is known."""

    known: tuple[str, ...]
    required: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
