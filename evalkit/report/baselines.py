"""Render the recorded baselines of several sets as terminal text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from evalkit.core.errors import choose_worst_code
from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.baseline import (
    RecordedBaseline,
    RecordedDocument,
    baseline_text,
    recorded_document,
)
from evalkit.report.screen import Screen, join_folded


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselinePart:
    """The baseline of one set, or in `problem` why there is none."""

    path: str
    exit_code: int
    recorded: RecordedBaseline | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedBaselines:
    """The baselines of several sets, in the order of the command line."""

    parts: tuple[BaselinePart, ...]

    @property
    def exit_code(self) -> int:
        """The worst exit code of all sets."""
        return choose_worst_code(part.exit_code for part in self.parts)


class BaselinePartDocument(TypedDict):
    """The baseline of one of several sets.

    Attributes:
        path: The eval set.
        problem: Why nothing was recorded; empty if it was.
        recorded: The baseline; null if nothing was recorded.
    """

    path: str
    exit_code: int
    problem: str
    recorded: RecordedDocument | None


class RecordedBaselinesDocument(TypedDict):
    """The baselines of several sets. `baseline` with several sets prints it.

    Attributes:
        exit_code: The worst of all sets.
    """

    schema: Literal["evalkit.baselines/v1"]
    exit_code: int
    baselines: list[BaselinePartDocument]


def baselines_text(found: RecordedBaselines, screen: Screen) -> str:
    """Render each baseline, or why there is none, and how many were recorded."""
    texts = [
        baseline_text(part.recorded, screen)
        if part.recorded
        else join_folded([f"{part.path}: {part.problem}"], screen)
        for part in found.parts
    ]
    recorded = sum(part.recorded is not None for part in found.parts)
    total = format_count(len(found.parts), "baseline")
    last = f"{recorded} of {total} recorded  exit {found.exit_code}"
    return "\n".join([*texts, join_folded([last], screen)])


def baselines_json(found: RecordedBaselines) -> str:
    """Render the baselines as an `evalkit.baselines/v1` document."""
    document: RecordedBaselinesDocument = {
        "schema": "evalkit.baselines/v1",
        "exit_code": found.exit_code,
        "baselines": [
            {
                "path": part.path,
                "exit_code": part.exit_code,
                "problem": part.problem,
                "recorded": recorded_document(part.recorded) if part.recorded else None,
            }
            for part in found.parts
        ],
    }
    return format_json(document)
