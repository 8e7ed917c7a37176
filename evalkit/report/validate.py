"""Recorded baselines, checked sets and previews as text or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, join_sections


def validation_text(
    sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric], screen: Screen
) -> str:
    """One paragraph for each sound set, one line for each sound rubric."""
    lines = []
    for rubric in rubrics:
        criteria = "criterion" if rubric.criteria == 1 else "criteria"
        checks = f" ({format_count(rubric.checks, 'check')})" if rubric.checks else ""
        controls = (
            f"{rubric.good_controls} good and {rubric.bad_controls} bad controls"
            if rubric.good_controls
            else "no controls of its own"
        )
        lines.append(
            f"{rubric.path}: OK, a rubric of {rubric.criteria} {criteria}{checks}, "
            f"{format_count(rubric.examples, 'example')}, {controls}"
        )
    for found in sets:
        sizes = f"{format_count(found.cases, 'case')}, {format_count(found.rules, 'threshold')}"
        lines.append(f"{found.path}: OK, {sizes}")
        lines += _counts("scored by", found.scored_by, found.cases)
        lines += _counts("tags", found.tags, found.cases)
    return _join_folded(lines, screen)


def _counts(label: str, counts: Iterable[tuple[str, int]], cases: int) -> list[str]:
    words = [f"{name} {'all' if count == cases else count}" for name, count in counts]
    return [f"  {label}: {', '.join(words)}"] if words else []


def validation_json(sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric]) -> str:
    """The same for programs."""
    return format_json(
        {
            "schema": "evalkit.validated/v1",
            "evalsets": [
                {
                    "path": found.path,
                    "name": found.name,
                    "cases": found.cases,
                    "thresholds": found.rules,
                    "scored_by": dict(found.scored_by),
                    "tags": dict(found.tags),
                }
                for found in sets
            ],
            "rubrics": [
                {
                    "path": rubric.path,
                    "name": rubric.name,
                    "criteria": rubric.criteria,
                    "checks": rubric.checks,
                    "examples": rubric.examples,
                    "controls": {"good": rubric.good_controls, "bad": rubric.bad_controls},
                }
                for rubric in rubrics
            ],
        }
    )


def _join_folded(lines: Iterable[str], screen: Screen) -> str:
    folded = [part for line in lines for part in screen.fold(line, hang="    ")]
    return join_sections([folded])


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSet:
    """A sound eval set in numbers: how many cases each metric scores and each tag has."""

    path: str
    name: str
    cases: int
    rules: int
    scored_by: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRubric:
    """A sound rubric in numbers: criteria, how many of them are checks, examples, good and bad controls."""

    path: str
    name: str
    criteria: int
    checks: int
    examples: int
    good_controls: int
    bad_controls: int
