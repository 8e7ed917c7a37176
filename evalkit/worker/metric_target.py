"""Call a metric plugin in the worker with a case and an output, and normalize its score."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json, ScoreState
from evalkit.core.trial import Output, Score
from evalkit.worker.user_code import (
    BadReply,
    CallArguments,
    LoadFailure,
    accepts,
    is_async,
    read_signature,
    repr_value,
    run_user_code,
    suggest_near_name,
)

PLUGIN_API = 1
SHORTHAND = ""
"""The key of an argument that was given without a name; it is the value of the first field."""

ATTRIBUTES = {"unit": "", "higher_is_better": True, "evalkit_api": PLUGIN_API}
"""The attributes that a plugin may set, and their defaults."""

_NAMED_PARAMETER_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginFields:
    """The arguments of a plugin class: their names, which of them are required, and their types."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    types: Mapping[str, object]
    takes_any: bool = False


def _has_own_init(plugin: type) -> bool:
    return any("__init__" in vars(ancestor) for ancestor in plugin.__mro__[:-1])


def _read_fields(plugin: type) -> PluginFields:
    """Read the parameters of `__init__` (a dataclass has one), or else the class's annotations."""
    if not _has_own_init(plugin):
        return _read_annotated_fields(plugin)
    try:
        signature = inspect.signature(plugin, eval_str=True)
    except Exception:  # the annotations cannot be evaluated, so only names are checked
        signature = read_signature(plugin) or inspect.Signature()
    named = [item for item in signature.parameters.values() if item.kind in _NAMED_PARAMETER_KINDS]
    return PluginFields(
        names=tuple(item.name for item in named),
        required=tuple(item.name for item in named if item.default is item.empty),
        types={item.name: item.annotation for item in named if item.annotation is not item.empty},
        takes_any=any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values()),
    )


def _read_annotated_fields(plugin: type) -> PluginFields:
    try:
        types = get_type_hints(plugin)
    except Exception:
        types = dict.fromkeys(inspect.get_annotations(plugin), Any)
    types = {
        name: type_
        for name, type_ in types.items()
        if name not in ATTRIBUTES and get_origin(type_) is not ClassVar  # not arguments
    }
    required = tuple(name for name in types if not hasattr(plugin, name))
    return PluginFields(names=tuple(types), required=required, types=types)


def _read_args(fields: PluginFields, args: Mapping[str, Json]) -> dict[str, object]:
    """Check the arguments against the fields and convert each to the type of its field.

    Raises:
        LoadFailure: arguments are unknown, missing, or of another type; it names all of them.
    """
    problems = []
    values: dict[str, object] = {}
    for key, value in args.items():
        name = fields.names[0] if key == SHORTHAND and fields.names else key
        if name == SHORTHAND:
            problems.append("it takes no arguments.")
        elif name not in fields.names and not fields.takes_any:
            known = f"Known: {', '.join(fields.names)}." if fields.names else "It takes none."
            problems.append(
                f"unknown argument {name!r}.{suggest_near_name(name, fields.names) or f' {known}'}"
            )
        else:
            try:
                values[name] = _convert(value, fields.types.get(name, Any))
            except msgspec.ValidationError as error:
                problems.append(f"argument {name!r} is {repr_value(value)}: {error}.")
    given = {*values, *args}
    problems += [f"argument {name!r} is missing." for name in fields.required if name not in given]
    if problems:
        raise LoadFailure(*problems)
    return values


def _convert(value: Json, type_: object) -> object:
    try:
        return msgspec.convert(value, type_)
    except TypeError:  # a type that msgspec does not support
        return value


def _instantiate(plugin: type, args: Mapping[str, Json]) -> tuple[object, PluginFields]:
    fields = _read_fields(plugin)
    values = _read_args(fields, args)
    if _has_own_init(plugin):
        return run_user_code(lambda: plugin(**values)), fields
    # A class without `__init__` has bare annotations as fields.
    made = run_user_code(plugin)
    for name, value in values.items():
        setattr(made, name, value)
    return made, fields


def _scoring_function(found: object) -> Callable[..., object]:
    """Return the method `score`, or the function itself, if it can be called with case and output."""
    function = getattr(found, "score", found)
    if not callable(function):
        raise LoadFailure(
            f"it is {type(found).__name__!r}, neither a function (case, output) "
            "nor a class with a method score(case, output)."
        )
    signature = read_signature(function)
    if signature is not None and not accepts(signature, ((None, None), {})):
        raise LoadFailure(f"it cannot be called as (case, output): its parameters are {signature}.")
    return function


def _read_attributes(found: object) -> dict[str, Json]:
    """Return the attributes that the plugin sets, or their defaults.

    Raises:
        LoadFailure: an attribute has another type, or the plugin needs another plugin interface.
    """
    values = {name: getattr(found, name, default) for name, default in ATTRIBUTES.items()}
    problems = [
        f"its `{name}` is {repr_value(values[name])}, not {type(default).__name__}."
        for name, default in ATTRIBUTES.items()
        if type(values[name]) is not type(default)  # `type`, because True is an int
    ]
    if not problems and values["evalkit_api"] != PLUGIN_API:
        problems.append(
            f"it is written for version {values['evalkit_api']} of the plugin interface; "
            f"this evalkit has version {PLUGIN_API}."
        )
    if problems:
        raise LoadFailure(*problems)
    return values


def _to_python(value: object) -> object:
    """Return the Python number in a NumPy (or torch) scalar, and anything else as it is."""
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        return item()
    return value


class MetricTarget:
    """A plugin: a function `(case, output)`, or a class with a method `score(case, output)`.

    A class is instantiated once, with the arguments the eval set gives: they are its fields (of a
    dataclass, of its `__init__`, or its bare annotations). `unit`, `higher_is_better` and
    `evalkit_api` are attributes of the function or of the object.
    """

    def __init__(self, found: object, args: Mapping[str, Json]) -> None:
        fields: PluginFields | None = None
        if inspect.isclass(found):
            found, fields = _instantiate(found, args)
        elif args:
            raise LoadFailure(
                "it is not a class, so it takes no arguments. "
                "Make it a class with the arguments as fields and a method score(case, output)."
            )
        self.function = _scoring_function(found)
        self.is_async = is_async(self.function)
        attributes = _read_attributes(found)
        self._is_share = not attributes["unit"]
        self.description = {
            **attributes,
            "fields": list(fields.names) if fields else [],
            "is_class": fields is not None,
            "is_async": self.is_async,
        }

    def read_payload(self, payload: Mapping[str, Json]) -> CallArguments:
        """Return the records that the plugin is called with."""
        case = msgspec.convert(payload["case"], Case)
        return (case, msgspec.convert(payload["output"], Output)), {}

    def to_json(self, value: object) -> Json:
        """Return value, passed, explanation and state of what the plugin returned.

        A bool is 1 or 0, and passed or not. A finite number, NumPy's included, is the value; without
        a unit it is a share in 0..1. A Score may have `passed` without a value, or a state other than
        `scored`; otherwise the same rules apply to its value.

        Raises:
            BadReply: it returned anything else.
        """
        if not isinstance(value, Score):
            number = _to_python(value)
            return self._scored(number, number if isinstance(number, bool) else None, "")
        if value.state not in get_args(ScoreState):
            raise BadReply(f"the metric returned a Score of unknown state {value.state!r}.")
        if not isinstance(value.explanation, str):
            raise BadReply(f"the explanation is {value.explanation!r}, not text.")
        if value.state != "scored":
            if not isinstance(value.unreported, str):
                raise BadReply(f"unreported is {value.unreported!r}, not text.")
            found = _to_score(None, None, value.explanation, value.state)
            return {**found, "unreported": value.unreported} if value.unreported else found
        passed = _to_python(value.passed)
        if passed is not None and not isinstance(passed, bool):
            raise BadReply(f"the metric returned passed={passed!r}. Give True, False or None.")
        number = passed if value.value is None else _to_python(value.value)
        return self._scored(number, passed, value.explanation)

    def _scored(self, number: object, passed: bool | None, explanation: str) -> Json:
        shown = f"the metric returned {repr_value(number)}"
        if not isinstance(number, bool | int | float):
            raise BadReply(f"{shown}. Return True, False, a number or a Score.")
        if not -sys.float_info.max <= number <= sys.float_info.max:  # NaN compares false
            raise BadReply(f"{shown}, which is not a finite number.")
        if self._is_share and not 0 <= number <= 1:
            raise BadReply(
                f"{shown}, which is not in 0..1. Return a share, or give the metric a `unit`."
            )
        return _to_score(float(number), passed, explanation, "scored")


def _to_score(
    value: float | None, passed: bool | None, explanation: str, state: ScoreState
) -> Json:
    return {"value": value, "passed": passed, "explanation": explanation, "state": state}
