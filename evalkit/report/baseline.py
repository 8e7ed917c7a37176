"""Render a recorded baseline as terminal text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from evalkit.core.format import format_count
from evalkit.core.gate_result import MetricSummary, Tally
from evalkit.core.run import Run
from evalkit.core.safe_text import format_json
from evalkit.report.case_lines import find_never_passed, never_passed_lines
from evalkit.report.content import value_cell
from evalkit.report.screen import Screen, join_folded

_MAX_NEVER_PASSED = 5
"""Cases to name that passed no trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedBaseline:
    """The baseline that was written, and how many trials per case the replaced one had."""

    path: Path
    run: Run
    tally: Tally
    summaries: tuple[MetricSummary, ...]
    replaced_trials: int = 0


class RecordedDocument(TypedDict):
    """A recorded baseline. `baseline` prints it.

    Attributes:
        git_dirty: Whether files of the agent differed from the commit.
        metrics: The mean of each metric.
        never_passed: The ids of the cases of which every trial failed.
    """

    schema: Literal["evalkit.recorded/v1"]
    path: str
    run: str
    evalset: str
    agent_version: str
    git_dirty: bool
    cases: int
    trials: int
    metrics: Mapping[str, float | None]
    never_passed: list[str]


def baseline_text(recorded: RecordedBaseline, screen: Screen) -> str:
    """Render the content of a baseline and what to do with it."""
    header = recorded.run.header
    size = f"{format_count(len(header.cases), 'case')}, {format_count(header.trials, 'trial')} per case"
    lines = [
        f"Baseline of {header.evalset} written to {recorded.path}",
        f"{size}, agent {header.agent_version}",
        *(
            f"  {summary.metric}: {value_cell(summary.mean, summary.unit)}"
            for summary in recorded.summaries
            if summary.tag is None
        ),
    ]
    never_passed = never_passed_lines(
        find_never_passed(recorded.run), len(header.cases), screen, _MAX_NEVER_PASSED
    )
    if header.git_dirty:
        lines.append(
            f"Files differ from commit {header.git_commit[:10]}, so nobody can check out the agent that gave "
            f"these answers. Commit them, and record the baseline again."
        )
    if recorded.replaced_trials > header.trials:
        lines.append(
            f"The replaced baseline had {recorded.replaced_trials} trials per case and detected smaller "
            f"drops. To record as many again, use evalkit baseline without --from."
        )
    head = join_folded(lines, screen)
    last = "Review it and commit it: later runs are compared with it."
    return "\n".join((head.rstrip("\n"), *never_passed, join_folded([last], screen)))


def baseline_json(recorded: RecordedBaseline) -> str:
    """Render a recorded baseline as an `evalkit.recorded/v1` document."""
    return format_json(recorded_document(recorded))


def recorded_document(recorded: RecordedBaseline) -> RecordedDocument:
    """Return a recorded baseline as an `evalkit.recorded/v1` document."""
    header = recorded.run.header
    return {
        "schema": "evalkit.recorded/v1",
        "path": str(recorded.path),
        "run": header.id,
        "evalset": header.evalset,
        "agent_version": header.agent_version,
        "git_dirty": header.git_dirty,
        "cases": len(header.cases),
        "trials": header.trials,
        "metrics": {
            summary.metric: summary.mean for summary in recorded.summaries if summary.tag is None
        },
        "never_passed": [result.case.id for result in find_never_passed(recorded.run)],
    }
