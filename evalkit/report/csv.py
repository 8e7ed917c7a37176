"""A judged run as CSV for a spreadsheet: a row a case, in which no cell is a formula.

A cell that begins like one has an apostrophe before it, which readers may take off again. What a
spreadsheet cannot hold is shown as an escape.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from evalkit.compare.scores import is_usable, mean
from evalkit.core.safe_text import escape_csv_formula, escape_unsafe
from evalkit.core.trial import Trial
from evalkit.report.case_status import (
    CaseResult,
    answer_text,
    case_results,
    input_text,
    json_text,
    reason_text,
    representative_trial,
)
from evalkit.report.model import Report

COLUMNS = (
    "case",
    "tags",
    "standing",
    "flaky",
    "passed",
    "scored",
    "trials",
    "baseline_passed",
    "baseline_scored",
    "latency_s",
    "cost_usd",
    "reason",
    "input",
    "expected",
    "output",
    "error",
)
"""Before one column a metric, which holds the mean of its values."""

_MAX_CELL_CHARS = 32_000
"""Characters; a spreadsheet's cell holds 32,767."""


def render_csv(report: Report) -> str:
    """Render a judged run's cases."""
    metrics = [info.name for info in report.run.header.metrics]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([safe_cell(name) for name in (*COLUMNS, *metrics)])
    for result in case_results(report):
        writer.writerow([*_row(result), *_means(result.trials, metrics)])
    return stream.getvalue()


def _row(result: CaseResult) -> Iterator[str]:
    trial = representative_trial(result.trials, passed=False)
    output = trial.output if trial else None
    costs = [t.output.cost_usd for t in result.trials if t.output.cost_usd is not None]
    latencies = [t.output.latency_s for t in result.trials if t.output.error is None]
    texts = (result.case.id, " ".join(result.case.tags), result.status)
    yield from map(safe_cell, texts)
    counts = (result.flaky, result.passed, result.scored, len(result.trials))
    yield from (str(int(count)) for count in (*counts, result.base_passed, result.base_trials))
    yield _number(latencies)
    yield f"{sum(costs):g}" if costs else ""
    expected = "" if result.case.expected is None else json_text(result.case.expected)
    answer = answer_text(output) if output else ""
    error = f"{output.error.kind}: {output.error.message}" if output and output.error else ""
    yield from map(
        safe_cell, (reason_text(result), input_text(result.case), expected, answer, error)
    )


def _means(trials: Sequence[Trial], metrics: Sequence[str]) -> Iterator[str]:
    for metric in metrics:
        yield _number(
            [
                score.value
                for trial in trials
                for score in trial.scores
                if score.metric == metric and is_usable(score) and score.value is not None
            ]
        )


def _number(values: Sequence[float]) -> str:
    return f"{mean(values):.9g}" if values else ""


def safe_cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula."""
    return escape_csv_formula(escape_unsafe(text, newlines=True)[:_MAX_CELL_CHARS])
