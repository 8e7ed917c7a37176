"""Create built-in metrics from their YAML arguments, and report every problem with the arguments."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from evalkit.core.eval_set import SHORTHAND, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, resolve_inside
from evalkit.core.values import describe_kind
from evalkit.metrics.builtin import BuiltIn, text_of
from evalkit.metrics.entry_points import suggest_name

AnyBuiltIn = TypeVar("AnyBuiltIn", bound=BuiltIn)

_UNIONS = (Union, UnionType)
_TYPE_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    Path: "the name of a file",
    Mapping: "a mapping",
}


class InvalidArgument(Exception):
    """A value does not have the type of its argument; the text continues the argument's name."""

    def __init__(self, value: Json, hint: object) -> None:
        options = [option for option in _options_in(hint) if isinstance(option, str)]
        near = difflib.get_close_matches(value, options, n=1) if isinstance(value, str) else []
        advice = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"must be {_describe_type(hint)}, not {describe_kind(value)}.{advice}")


def bind_arguments(
    metric: type[AnyBuiltIn],
    spec: MetricSpec,
    environment: RunEnvironment,
    problems: list[Problem],
) -> AnyBuiltIn | None:
    """Check the arguments of a metric and create it; return None if `problems` grew.

    A file that an argument names is relative to the eval set's folder and inside the project root.
    """
    found: list[str] = []
    # Annotations are strings in modules with `from __future__ import annotations`.
    hints = get_type_hints(metric)
    known = [field.name for field in fields(metric) if hints[field.name] is not RunEnvironment]
    values: dict[str, Any] = {
        name: environment for name, hint in hints.items() if hint is RunEnvironment
    }
    given = _name_shorthand(metric, spec.args, found)
    for name, value in given.items():
        if name not in known:
            found.append(f"there is no argument {name!r}. {suggest_name(name, known)}")
            continue
        try:
            values[name] = _convert(value, hints[name], environment)
        except InvalidArgument as invalid:
            found.append(f"{name} {invalid}")
        except UnreadableFile as error:
            found.append(f"{name}: {value!r} {error}")
    required = [field.name for field in fields(metric) if field.default is MISSING]
    missing = [name for name in required if name not in given and name not in values]
    found += [f"{name} is missing. Add it." for name in missing]
    if not found:
        try:
            return metric(**values)
        except ValueError as error:
            found.append(str(error))
    problems += [Problem(message=f"{spec.ref}: {message}", where=spec.where) for message in found]
    return None


def _name_shorthand(
    metric: type[BuiltIn], args: Mapping[str, Json], found: list[str]
) -> Mapping[str, Json]:
    if SHORTHAND not in args:
        return args
    if not metric.shorthand:
        found.append(f"it takes no value, and {describe_kind(args[SHORTHAND])} was given.")
        return {}
    return {name or metric.shorthand: value for name, value in args.items()}


def _convert(value: Json, hint: Any, environment: RunEnvironment) -> object:
    """Convert a value to the type of its annotation: lists to tuples, names of files to paths."""
    kind = get_origin(hint) or hint
    if kind in _UNIONS:
        return _convert_union(value, hint, environment)
    if kind is tuple:
        return _convert_items(value, hint, environment)
    if kind is str and (text := text_of(value)) is not None:
        return text
    if kind is float and (number := _read_finite(value)) is not None:
        return number
    if kind is Path and isinstance(value, str):
        return resolve_inside(value, environment.set_folder, environment.root)
    # Types are compared too, because 1 == True.
    if kind is Literal and any(
        value == option and type(value) is type(option) for option in get_args(hint)
    ):
        return value
    if (kind is int and type(value) is int) or (
        kind in (bool, Mapping) and isinstance(value, kind)
    ):
        return value
    raise InvalidArgument(value, hint)


def _convert_union(value: Json, hint: Any, environment: RunEnvironment) -> object:
    options = [option for option in get_args(hint) if option is not NoneType]
    for option in options:
        try:
            return _convert(value, option, environment)
        except InvalidArgument:
            # With one option, its error names the wrong item. With several, none of them fits.
            if len(options) == 1:
                raise
    raise InvalidArgument(value, hint)


def _convert_items(value: Json, hint: Any, environment: RunEnvironment) -> tuple[object, ...]:
    if isinstance(value, bool | Mapping):
        raise InvalidArgument(value, hint)
    # A single value counts as a list of one.
    items = value if isinstance(value, list | tuple) else [value]
    converted = []
    for item in items:
        try:
            converted.append(_convert(item, get_args(hint)[0], environment))
        except InvalidArgument:
            raise InvalidArgument(item, hint) from None
    return tuple(converted)


def _read_finite(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer that no float can hold
        return None
    return number if math.isfinite(number) else None


def _options_in(hint: Any) -> Iterator[object]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        for inner in get_args(hint):
            yield from _options_in(inner)


def _describe_type(hint: Any) -> str:
    kind = get_origin(hint) or hint
    inner = [option for option in get_args(hint) if option not in (NoneType, ...)]
    if kind in _UNIONS:
        return " or ".join(_describe_type(option) for option in inner)
    if kind is tuple:
        return "a list of texts" if inner == [str] else f"a list, each {_describe_type(inner[0])}"
    if kind is Literal:
        shown = [str(option).lower() for option in inner]
        return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"
    return _TYPE_WORDS[kind]
