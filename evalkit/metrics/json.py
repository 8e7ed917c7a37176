"""Scores structured answers: json, by a JSON Schema or by equality with the label at paths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score
from evalkit.metrics.explanations import quote_value
from evalkit.metrics.paths import ABSENT, find_value

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\n(.*?)\n?```\s*\Z", re.DOTALL)


def parse_json(text: str) -> Json:
    """Read one strict JSON value.

    Raises:
        ValueError: it is none, has a key twice, NaN or Infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def arguments_of(value: Json) -> Json:
    """A call's arguments: none is an empty mapping, and the text of a JSON object is what it holds."""
    if value is None:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def is_same_json(one: Json, other: Json) -> bool:
    """Equality as JSON has it: 1 and 1.0 are the same number, true and 1 are not the same."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same_json, one, other))
    return bool(one == other)


@dataclass(frozen=True, kw_only=True)
class JsonMatch(AnswerMetric):
    """Passes an answer that is JSON and conforms to a schema, or equals the label.

    Without `schema` and `paths` the whole value must equal the whole label. A label that is the text
    of a JSON object or list, as a CSV file has it, stands for that.

    Args:
        schema: a JSON Schema, or the name of a file that holds one.
        paths: dotted paths at which answer and label must be equal.
        fenced: also accept JSON inside one Markdown code fence.
        of: the part of the output: a text is parsed, anything else is taken as it is.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "schema"

    schema: Mapping[str, Json] | Path | None = None
    paths: tuple[str, ...] = ()
    fenced: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema is not None:
            # Built now, so that a wrong schema is found before any call is made.
            _ = self.validator

    @cached_property
    def validator(self) -> Validator:
        """The schema, ready for use; ValueError says what is wrong with it."""
        from evalkit.metrics.json_schema import build_validator  # noqa: PLC0415 - 150 ms of jsonschema

        if not isinstance(self.schema, Path):
            return build_validator(self.schema)
        name = display_path(self.schema)
        try:
            schema = parse_json(read_file(self.schema).decode())
        except UnreadableFile as error:
            raise ValueError(f"schema: {name} {error}") from error
        except ValueError as error:
            raise ValueError(f"schema: {name} is not JSON: {error}.") from error
        return build_validator(schema)

    @property
    def needs_expected(self) -> bool:
        """Unless a schema alone decides."""
        return self.schema is None or bool(self.paths)

    def expected_value(self, case: Case) -> Json:
        """The part of the label that is asked for, as a value."""
        label = super().expected_value(case)
        if isinstance(label, str) and label.lstrip().startswith(("{", "[")):
            with suppress(ValueError):
                return parse_json(label)
        return label

    def problem_with_label(self, label: Json) -> str | None:
        """Every path that is compared must be in the label."""
        missing = [path for path in self.paths if find_value(label, path) is ABSENT]
        if not missing:
            return None
        return (
            f"expected has no {missing[0]!r}, which paths names. Add it, or take it out of paths."
        )

    def score(self, case: Case, output: Output) -> Score:
        """Parse, check against the schema, compare with the label."""
        value = self.answer(output)
        if value is ABSENT or value is None:
            return self.score_missing(output)
        if isinstance(value, str):
            try:
                value = parse_json(self._unfence(value))
            except ValueError as error:
                return failed_score(f"not JSON: {error}; got {quote_value(value)}")
        if self.schema is not None and (reason := self._violation(value)):
            return failed_score(reason)
        return self._compare(value, case) if self.needs_expected else PASSED

    def _unfence(self, text: str) -> str:
        match = _FENCE.match(text) if self.fenced else None
        return match[1] if match else text

    def _violation(self, value: Json) -> str | None:
        from evalkit.metrics.json_schema import first_violation  # noqa: PLC0415 - loaded by now

        return first_violation(self.validator, value)

    def _compare(self, value: Json, case: Case) -> Score:
        label = self.expected_value(case)
        for path in self.paths or ("",):
            wanted, got = find_value(label, path), find_value(value, path)
            if not is_same_json(wanted, got):
                at = f"{path}: " if path else ""
                found = "nothing" if got is ABSENT else quote_value(got)
                return failed_score(f"{at}expected {quote_value(wanted)}, got {found}")
        return PASSED
