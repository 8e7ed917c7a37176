"""Build the JSON Schemas of the arguments of built-in metrics from their dataclasses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment

_ARGUMENT_DOC = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)
_TYPES: Mapping[Any, Json] = {
    str: ["string", "integer", "boolean"],
    bool: "boolean",
    int: "integer",
    float: "number",
    Path: "string",
    Mapping: "object",
}


def iter_defaults(record: type[Any]) -> Iterator[tuple[str, Json]]:
    """Yield the fields of a record that have a scalar default."""
    for field in fields(record):
        if isinstance(field.default, str | int | float) and field.default != "":
            yield field.name, field.default


def build_arguments_schema(metric: Any) -> Json:
    """Return the schema of a built-in's arguments: a mapping, its shorthand, or nothing."""
    hints, docs = get_type_hints(metric), _read_argument_docs(metric)
    arguments = [field for field in fields(metric) if hints[field.name] is not RunEnvironment]
    defaults = dict(iter_defaults(metric))
    required = [field.name for field in arguments if field.default is MISSING]
    properties = {}
    for field in arguments:
        # An argument that may be None can be left out, but cannot be written as null.
        schema = _combine(_iter_hint_schemas(hints[field.name]))
        default = {"default": defaults[field.name]} if field.name in defaults else {}
        properties[field.name] = {"description": docs.get(field.name, ""), **schema, **default}
    mapping: Json = {"type": "object", "additionalProperties": False, "properties": properties}
    options = [{**mapping, "required": required} if required else mapping]
    if metric.shorthand:
        # A mapping is always taken for the arguments, never for the shorthand's value.
        shorthand = _iter_hint_schemas(hints[metric.shorthand])
        options += [option for option in shorthand if option.get("type") != "object"]
    if not required:
        options.append({"type": "null"})
    summary = inspect.cleandoc(metric.__doc__ or "").partition("\n\n")[0]
    return {"description": " ".join(summary.split()), **_combine(options)}


def _read_argument_docs(metric: type[Any]) -> dict[str, str]:
    """Return the `Args:` sections of the docstrings of a metric and its bases."""
    docs = {}
    # A subclass comes last, so that its description of an argument replaces an inherited one.
    for base in reversed(metric.__mro__):
        section = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")[2]
        for name, text in _ARGUMENT_DOC.findall(section):
            docs[name] = " ".join(text.split())
    return docs


def _iter_hint_schemas(hint: Any) -> Iterator[dict[str, Json]]:
    """Yield the alternatives that a metric's argument accepts, as `metrics.arguments` converts them."""
    kind = get_origin(hint) or hint
    options = [option for option in get_args(hint) if option is not NoneType]
    if kind in (Union, UnionType):
        for option in options:
            yield from _iter_hint_schemas(option)
    elif kind is tuple:
        # A single value is a list of one, except `true` and `false`.
        (item,) = _iter_hint_schemas(options[0])
        yield {"type": ["string", "integer"]} if options[0] is str else item
        yield {"type": "array", "items": item}
    elif kind is Literal:
        yield {"enum": options}
    else:
        yield {"type": _TYPES[kind]}


def _combine(options: Iterable[Json]) -> dict[str, Json]:
    found = list(options)
    return found[0] if len(found) == 1 else {"anyOf": found}
