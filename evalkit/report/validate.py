"""Render checked eval sets and rubrics as terminal text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.documents import to_document
from evalkit.report.screen import Screen, join_folded


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSet:
    """The size of a valid eval set: cases, thresholds, and the cases of each metric and tag."""

    path: str
    name: str
    cases: int
    thresholds: int
    scored_by: Mapping[str, int]
    tags: Mapping[str, int]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRubric:
    """The size of a valid rubric: criteria, how many of them are checks, examples, and controls."""

    path: str
    name: str
    criteria: int
    checks: int
    examples: int
    controls: Mapping[Literal["good", "bad"], int]


class ValidatedDocument(TypedDict):
    """Sets and rubrics without a problem. `validate` prints it."""

    schema: Literal["evalkit.validated/v1"]
    evalsets: list[CheckedSet]
    rubrics: list[CheckedRubric]


def validation_text(
    sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric], screen: Screen
) -> str:
    """Render one paragraph for each set and one line for each rubric."""
    lines = []
    for rubric in rubrics:
        criteria = "criterion" if rubric.criteria == 1 else "criteria"
        checks = f" ({format_count(rubric.checks, 'check')})" if rubric.checks else ""
        controls = (
            f"{rubric.controls['good']} good and {rubric.controls['bad']} bad controls"
            if rubric.controls["good"]
            else "no controls of its own"
        )
        lines.append(
            f"{rubric.path}: OK, a rubric of {rubric.criteria} {criteria}{checks}, "
            f"{format_count(rubric.examples, 'example')}, {controls}"
        )
    for found in sets:
        sizes = (
            f"{format_count(found.cases, 'case')}, {format_count(found.thresholds, 'threshold')}"
        )
        lines.append(f"{found.path}: OK, {sizes}")
        lines += _counts("scored by", found.scored_by, found.cases)
        lines += _counts("tags", found.tags, found.cases)
        lines += [f"  warning: {warning}" for warning in found.warnings]
    return join_folded(lines, screen)


def _counts(label: str, counts: Mapping[str, int], cases: int) -> list[str]:
    words = [f"{name} {'all' if count == cases else count}" for name, count in counts.items()]
    return [f"  {label}: {', '.join(words)}"] if words else []


def validation_json(sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric]) -> str:
    """Render sets and rubrics as an `evalkit.validated/v1` document."""
    document: ValidatedDocument = {
        "schema": "evalkit.validated/v1",
        "evalsets": to_document(sets),
        "rubrics": to_document(rubrics),
    }
    return format_json(document)
