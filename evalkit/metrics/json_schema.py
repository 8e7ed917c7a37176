"""Build validators that fetch nothing and cannot hang from JSON Schemas, checked in advance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

import regex
from jsonschema import exceptions, validators
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from evalkit.core.literals import Json
from evalkit.core.values import canonical_json, quote_value
from evalkit.metrics.builtin import UnscorableAnswer
from evalkit.metrics.deadline import OutOfTime, check_deadline, remaining_s

DEFAULT_DRAFT = "https://json-schema.org/draft/2020-12/schema"

PATTERN_DEADLINE_S = 0.2
"""The longest that one `pattern` may search one value. Most take microseconds."""

_MAX_SHOWN_CHARS = 200
_MAX_VIOLATIONS = 20

CheckKeyword: TypeAlias = Callable[
    [Validator, Any, Any, Any], Iterator[exceptions.ValidationError] | None
]
"""What jsonschema calls for one keyword: with the validator, the keyword's value, a value, the schema."""


def build_validator(schema: Json) -> Validator:
    """Check a schema and its references, and return its validator.

    The draft is 2020-12 unless `$schema` names another.

    Raises:
        ValueError: what is wrong with it, and where.
    """
    named = schema.get("$schema", DEFAULT_DRAFT) if isinstance(schema, Mapping) else DEFAULT_DRAFT
    draft = validators.validator_for(
        {"$schema": named},
        default=None,  # type: ignore[arg-type]  # the stub is narrower than the documentation
    )
    if draft is None:
        raise ValueError(
            f"$schema names no known draft: {quote_value(named)}. Use {DEFAULT_DRAFT!r}."
        )
    try:
        draft.check_schema(schema)
        resource = Resource.from_contents(schema, default_specification=DRAFT202012)
        # Without a registry of our own, jsonschema fetches what a reference names.
        registry = Registry[Any]().with_resource(resource.id() or "", resource)
        _check_references(resource, registry.resolver_with_root(resource))
    except exceptions.SchemaError as error:
        raise ValueError(f"the schema is invalid {_describe(error)}.") from error
    except Unresolvable as error:
        raise ValueError(
            f"the schema refers to {error.ref!r}, which is not in it. "
            "evalkit fetches nothing outside of the schema: put it under $defs."
        ) from error
    keywords = {name: _limit(check) for name, check in draft.VALIDATORS.items()}
    keywords["pattern"] = _check_pattern
    if "uniqueItems" in keywords:
        keywords["uniqueItems"] = _check_unique_items
    bounded: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]  # no stub for it
        draft, keywords
    )
    return bounded(schema, registry=registry)


def first_violation(validator: Validator, value: Json) -> str | None:
    """Return the violation that best explains why a value does not conform, or None.

    Of many violations, the first are looked at.

    Raises:
        UnscorableAnswer: the value is nested too deeply for the schema.
        OutOfTime: the check takes too long.
    """
    try:
        error = exceptions.best_match(islice(validator.iter_errors(value), _MAX_VIOLATIONS))
    except RecursionError:
        raise UnscorableAnswer("the JSON is nested too deeply to check it by the schema") from None
    return None if error is None else _describe(error)


def _describe(error: exceptions._Error) -> str:
    at = ".".join(map(str, error.absolute_path)) or "the top"
    shown = error.message[:_MAX_SHOWN_CHARS] + (
        "…" if len(error.message) > _MAX_SHOWN_CHARS else ""
    )
    return f"at {at}: {shown}"


def _check_references(resource: Resource[Any], resolver: Any) -> None:
    resolver = resolver.in_subresource(resource)
    if isinstance(resource.contents, dict):
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in resource.contents:
                resolver.lookup(resource.contents[keyword])
    for inner in resource.subresources():
        _check_references(inner, resolver)


def _limit(check: CheckKeyword) -> CheckKeyword:
    """Return a check that ends when the time is up: a schema may need years for a small value."""

    def limited(
        validator: Validator, keyword: Any, value: Any, schema: Any
    ) -> Iterator[exceptions.ValidationError]:
        check_deadline("checking the JSON by the schema")
        yield from check(validator, keyword, value, schema) or ()

    return limited


def _check_unique_items(
    validator: Validator,
    unique: bool,
    value: Any,
    schema: Any,  # noqa: ARG001 - as above
) -> Iterator[exceptions.ValidationError]:
    # jsonschema compares each item with each, which takes hours for a long list.
    if not unique or not validator.is_type(value, "array"):
        return
    check_deadline("checking the JSON by the schema")
    if len({canonical_json(item) for item in value}) < len(value):
        yield exceptions.ValidationError(f"{quote_value(value)} has non-unique elements")


def _check_pattern(
    validator: Validator,
    pattern: str,
    value: Json,
    schema: Json,  # noqa: ARG001 - jsonschema passes it by position
) -> Iterator[exceptions.ValidationError]:
    if not validator.is_type(value, "string"):
        return
    check_deadline("checking the JSON by the schema")
    try:
        found = regex.search(pattern, value, timeout=min(PATTERN_DEADLINE_S, remaining_s()))
    except TimeoutError:
        raise OutOfTime(
            f"the schema's pattern {pattern!r} took longer than {PATTERN_DEADLINE_S:g} s "
            f"on {len(value)} characters. Rewrite it without nested repetition."
        ) from None
    if not found:
        yield exceptions.ValidationError(f"{quote_value(value)} does not match {pattern!r}")
