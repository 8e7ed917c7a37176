"""Render several runs as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from evalkit.core.literals import Outcome
from evalkit.core.safe_text import format_json
from evalkit.report.batch import Batch, BatchPart, PartState
from evalkit.report.documents import ReportDocument
from evalkit.report.json import report_document


class BatchPartDocument(TypedDict):
    """One run of a batch.

    Attributes:
        label: Unique in the batch; the set's name, or its path where several have that name.
        path: The eval set.
        state: `nothing_selected`: no case of the set is selected. `not_run`: the command ended before.
            `stopped`: an error ended the run.
        exit_code: That of the run by itself. With `nothing_selected`, it does not count.
        reason: One sentence, or the problems, one per line.
        report: What the run would print by itself; null if it has no report.
    """

    label: str
    path: str
    state: PartState
    exit_code: int
    reason: str
    report: ReportDocument | None


class BatchDocument(TypedDict):
    """Several runs with one result. `run` with several sets and `gate` with several runs print it.

    Attributes:
        outcome: That of all runs together.
        exit_code: The worst of all runs in which a case is selected.
        reason: How many runs have which result.
        duration_s: Seconds that the command took; null if it ran nothing.
        runs: In the order of the command line.
        next: Commands to type next, each with a label.
    """

    schema: Literal["evalkit.batch/v1"]
    outcome: Outcome
    exit_code: int
    reason: str
    duration_s: float | None
    runs: list[BatchPartDocument]
    notes: tuple[str, ...]
    next: list[Mapping[Literal["label", "command"], str]]


def render_batch_json(batch: Batch) -> str:
    """Render several runs as an `evalkit.batch/v1` document."""
    document: BatchDocument = {
        "schema": "evalkit.batch/v1",
        "outcome": batch.outcome,
        "exit_code": batch.exit_code,
        "reason": batch.reason,
        "duration_s": batch.duration_s,
        "runs": [_part_document(part) for part in batch.parts],
        "notes": batch.notes,
        "next": [{"label": hint.label, "command": hint.command} for hint in batch.hints],
    }
    return format_json(document)


def _part_document(part: BatchPart) -> BatchPartDocument:
    return {
        "label": part.label,
        "path": part.path,
        "state": part.state,
        "exit_code": part.exit_code,
        "reason": part.reason,
        "report": report_document(part.report) if part.report else None,
    }
