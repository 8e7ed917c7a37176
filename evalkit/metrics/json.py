"""Score structured answers by a JSON Schema or by equality with the label at paths: json."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.json_text import is_deeper_than, parse_json
from evalkit.core.limits import MAX_REPLY_DEPTH
from evalkit.core.literals import Json
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.core.trial import Output, Score
from evalkit.core.values import ABSENT, describe_mismatch, find_value, quote_value
from evalkit.metrics.builtin import PASSED, TextMetric, failed_score
from evalkit.metrics.json_answer import read_json_answer
from evalkit.metrics.json_compare import agrees_as_json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


@dataclass(frozen=True, kw_only=True)
class JsonMatch(TextMetric):
    """Passes an answer that is JSON and conforms to a schema, or equals the label.

    Without `schema` and `paths` the whole value must equal the whole label. A label that is the text
    of a JSON object or list, as in a CSV file, is parsed.

    Args:
        schema: a JSON Schema, or the name of a file that holds one.
        paths: dotted paths at which answer and label must be equal.
        fenced: also accept JSON inside one Markdown code fence.
        prose: also accept one JSON object or list with other text around it; several are no answer.
        tolerance: the largest difference at which two numbers are equal.
        unordered: the order of the items of lists does not count.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output: a text is parsed, anything else is used as it is.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "schema"
    version: ClassVar[int] = 2

    schema: Mapping[str, Json] | Path | None = None
    paths: tuple[str, ...] = ()
    fenced: bool = False
    prose: bool = False
    tolerance: float = 0.0
    unordered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance < 0:
            raise ValueError(f"tolerance: {self.tolerance!r} is negative.")
        if self.schema is not None:
            # Build it now, so that an invalid schema is reported before the first call.
            _ = self.validator

    @cached_property
    def validator(self) -> Validator:
        """Build the validator of the schema.

        Raises:
            ValueError: the schema cannot be read or is invalid.
        """
        # Imported here because jsonschema takes 150 ms.
        from evalkit.metrics.json_schema import build_validator  # noqa: PLC0415

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
        """Whether the label decides, and not a schema alone."""
        return self.schema is None or bool(self.paths)

    def expected_value(self, case: Case) -> Json:
        """Return the part of the label to compare with; the text of an object or list is parsed."""
        label = super().expected_value(case)
        if isinstance(label, str) and label.lstrip().startswith(("{", "[")):
            with suppress(ValueError):
                return parse_json(label)
        return label

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label cannot be compared, or None."""
        if _is_deep_text(label) or is_deeper_than(label, MAX_REPLY_DEPTH):
            return f"expected is nested more than {MAX_REPLY_DEPTH} deep. Compare a part of it."
        missing = [path for path in self.paths if find_value(label, path) is ABSENT]
        if not missing:
            return None
        return (
            f"expected has no {missing[0]!r}, which paths names. Add it, or remove it from paths."
        )

    def score(self, case: Case, output: Output) -> Score:
        """Parse the answer, check it against the schema and compare it with the label."""
        value = self.answer(output)
        if value in (ABSENT, None):
            return self.score_missing(output)
        label = self.expected_value(case) if self.needs_expected else None
        if isinstance(value, str):
            wanted = type(label) if isinstance(label, dict | list) else None
            try:
                value = read_json_answer(value, fenced=self.fenced, prose=self.prose, wanted=wanted)
            except ValueError as error:
                return failed_score(f"not JSON: {error}; got {quote_value(value)}")
        if self.schema is not None:
            from evalkit.metrics.json_schema import first_violation  # noqa: PLC0415 - loaded by now

            if reason := first_violation(self.validator, value):
                return failed_score(reason)
        return self._compare(value, label) if self.needs_expected else PASSED

    def _compare(self, value: Json, label: Json) -> Score:
        for path in self.paths or ("",):
            expected, actual = find_value(label, path), find_value(value, path)
            is_equal = actual is not ABSENT and agrees_as_json(
                expected, actual, tolerance=self.tolerance, unordered=self.unordered
            )
            if not is_equal:
                at = f"{path}: " if path else ""
                return failed_score(f"{at}{describe_mismatch(expected, actual)}")
        return PASSED


def _is_deep_text(label: Json) -> bool:
    """Return whether a label is the text of JSON that is nested too deeply to parse it."""
    is_list = isinstance(label, str) and label.lstrip().startswith(("{", "["))
    return is_list and label.count("[") + label.count("{") > MAX_REPLY_DEPTH
