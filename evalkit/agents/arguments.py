"""Convert the arguments of an agent or a judge in an eval set to the dataclass of its kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.safe_text import one_line
from evalkit.worker.user_code import suggest_near_name

SHORTHAND = ""
"""The key of a value that was given in place of a mapping of arguments."""

SHOWN_WIDTH = 60

Arguments = TypeVar("Arguments")


def read_arguments(
    spec: AgentSpec, shape: Callable[..., Arguments], *, shorthand: str
) -> Arguments:
    """Return an agent's arguments as `shape`; a value in place of a mapping is the argument `shorthand`.

    `shape` is a dataclass. A field without a default is a required argument.

    Raises:
        InvalidInput: keys are unknown or missing, or values have the wrong type; it lists all of them.
    """
    arguments, messages = convert_arguments(spec.args, shape, shorthand=shorthand)
    if arguments is None:
        raise InvalidInput([to_problem(spec, message) for message in messages])
    return arguments


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise InvalidInput with all problems that the check of an agent yields or raises."""
    found: list[Problem] = []
    try:
        found.extend(problems)
    except InvalidInput as invalid:
        found += invalid.problems
    if found:
        raise InvalidInput(found)


def to_problem(spec: AgentSpec, message: str) -> Problem:
    """Return a problem at the location of the agent; its message starts with the agent's kind."""
    return Problem(message=f"{spec.kind}: {message}", where=spec.where)


def convert_arguments(
    given: Mapping[str, Json], shape: Callable[..., Arguments], *, shorthand: str
) -> tuple[Arguments | None, list[str]]:
    """Return arguments as `shape`, or None and the error messages."""
    given = {shorthand if key == SHORTHAND else key: value for key, value in given.items()}
    types = get_type_hints(shape)
    messages = list(_find_wrong_keys(given, shape, types))
    values: dict[str, Json] = {}
    for name, type_ in types.items():
        if name in given:
            try:
                # Strict: YAML's `1` must not become the text "1", nor `yes` a number.
                values[name] = msgspec.convert(given[name], type_, strict=True)
            except msgspec.ValidationError:
                messages.append(_describe_type_error(name, type_, given[name]))
    return (None, messages) if messages else (shape(**values), [])


def _find_wrong_keys(
    given: Mapping[str, Json],
    shape: Any,  # a dataclass
    types: Mapping[str, object],
) -> Iterator[str]:
    fields = {field.name: field for field in dataclasses.fields(shape)}
    for key in given:
        if key not in fields:
            known = f" Known: {', '.join(fields)}."
            yield f"unknown key {key!r}.{suggest_near_name(key, fields) or known}"
    for name, field in fields.items():
        is_required = field.default is field.default_factory is dataclasses.MISSING
        if is_required and name not in given:
            yield f"{name!r} is missing. Give it as {_describe_type(types[name])}."


def _describe_type_error(name: str, type_: object, value: Json) -> str:
    wanted = _describe_type(type_)
    message = f"{name!r} must be {wanted}, not {one_line(repr(value), SHOWN_WIDTH)}."
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, list | dict):
        members = [value]
    untyped = [member for member in members if isinstance(member, bool | int | float)]
    if untyped and "text" in wanted:
        message += f' Write it in quotes: "{untyped[0]}".'
    return message


def _describe_type(type_: object) -> str:
    origin, members = get_origin(type_), get_args(type_)
    if origin in (Union, UnionType):
        return _describe_type(members[0])  # the others are None
    if origin is Literal:
        return f"one of {', '.join(map(repr, members))}"
    if origin is tuple:
        return "a list of texts, such as [python, my_agent.py]"
    if origin is Mapping:
        return "a mapping of texts" if members[1] is str else "a mapping"
    words: dict[object, str] = {str: "text", bool: "true or false", int: "a whole number"}
    return words.get(type_, "a number")
