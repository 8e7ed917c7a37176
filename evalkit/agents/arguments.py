"""What stands under an agent's kind in an eval set, turned into the record of what that kind takes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.safe_text import one_line

SHORTHAND = ""
"""The key under which a spec keeps a value that was given in place of a mapping of arguments."""

SHOWN_WIDTH = 60

Arguments = TypeVar("Arguments")


def read_arguments(
    spec: AgentSpec, shape: Callable[..., Arguments], *, shorthand: str
) -> Arguments:
    """Make the record of a kind's arguments; a value given in place of a mapping is `shorthand`.

    `shape` is a dataclass; a field without a default is an argument that must be given.

    Raises:
        InvalidInput: every key that is unknown, missing or of another type.
    """
    arguments, messages = convert_arguments(spec.args, shape, shorthand=shorthand)
    if arguments is None:
        raise InvalidInput(
            [Problem(message=f"{spec.kind}: {message}", where=spec.where) for message in messages]
        )
    return arguments


def convert_arguments(
    given: Mapping[str, Json], shape: Callable[..., Arguments], *, shorthand: str
) -> tuple[Arguments | None, list[str]]:
    """The record of some arguments, or None and what is wrong with them."""
    given = {shorthand if key == SHORTHAND else key: value for key, value in given.items()}
    messages = list(_find_wrong_keys(given, shape))
    values: dict[str, Json] = {}
    for name, wanted in get_type_hints(shape).items():
        if name in given:
            try:
                values[name] = msgspec.convert(given[name], wanted, strict=True)
            except msgspec.ValidationError:
                messages.append(_describe_type_error(name, wanted, given[name]))
    return (None, messages) if messages else (shape(**values), [])


def _find_wrong_keys(given: Mapping[str, Json], shape: Any) -> Iterator[str]:  # a dataclass
    fields = {field.name: field for field in dataclasses.fields(shape)}
    for key in given:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(fields)}."
            yield f"unknown key {key!r}. {advice}"
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if not optional and name not in given:
            yield f"{name!r} is missing. Give it as {_describe_type(get_type_hints(shape)[name])}."


def _describe_type_error(name: str, wanted: object, value: Json) -> str:
    shown = one_line(repr(value), SHOWN_WIDTH)
    message = f"{name!r} must be {_describe_type(wanted)}, not {shown}."
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, list | dict):
        members = [value]
    untyped = [member for member in members if isinstance(member, bool | int | float)]
    if untyped and "text" in _describe_type(wanted):
        message += f' In quotes it is text: "{untyped[0]}".'
    return message


def _describe_type(wanted: object) -> str:
    origin, members = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return _describe_type(members[0])
    if origin is Literal:
        return f"one of {', '.join(map(repr, members))}"
    if origin is tuple:
        return "a list of texts, such as [python, my_agent.py]"
    if origin is Mapping:
        return "a mapping of texts" if members[1] is str else "a mapping"
    words: dict[object, str] = {str: "text", bool: "true or false", int: "a whole number"}
    return words.get(wanted, "a number")
