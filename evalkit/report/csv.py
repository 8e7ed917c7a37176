"""Render the cases of a run, the history of a set, or a list of runs as CSV in which no cell is a formula.

A cell that a spreadsheet would read as a formula starts with an apostrophe, which readers may remove.
Characters that a spreadsheet cannot store are written as escapes.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from evalkit.compare.history import HistoryMetric, HistoryRow, HistoryThreshold
from evalkit.compare.scores import mean
from evalkit.core.safe_text import escape_csv_formula, escape_unsafe
from evalkit.report import case_status
from evalkit.report.breakage import differences_by_case
from evalkit.report.model import Report
from evalkit.report.runs import ListedRun

if TYPE_CHECKING:
    from evalkit.report.batch import Batch

COLUMNS = (
    "case",
    "tags",
    "status",
    "flaky",
    "passed",
    "scored",
    "trials",
    "baseline_passed",
    "baseline_scored",
    "latency_s",
    "first_token_s",
    "cost_usd",
    "reason",
    "input",
    "expected",
    "output",
    "error",
    "first_difference",
)
"""The columns of a report; a column for the mean of each metric follows them."""

HISTORY_COLUMNS = (
    "created",
    "kind",
    "id",
    "version",
    "commit",
    "judge",
    "cases",
    "trials",
    "metric",
    "tag",
    "unit",
    "mean",
    "low",
    "high",
    "rate",
    "p50",
    "p95",
    "p99",
    "scored",
    "due",
    "errors",
    "cost_usd",
    "judge_cost_usd",
    "agent",
    "verdict",
    "outcome",
    "baseline",
    "threshold",
    "stat",
    "value",
    "limit",
    "threshold_outcome",
)
"""The columns of a history; a threshold has a row of its own, in which only these describe it."""

# A spreadsheet cell holds 32,767 characters (Excel specifications and limits).
_MAX_CELL_CHARS = 32_000


def render_csv(report: Report) -> str:
    """Render the cases of a run, one row each."""
    metrics = [info.name for info in report.run.header.metrics]
    return _write(
        [_safe_cell(name) for name in (*COLUMNS, *metrics)], _report_rows(report, metrics)
    )


def render_batch_csv(batch: Batch) -> str:
    """Render the cases of several runs, one row each; the first column has the label of the run."""
    metrics = list(
        dict.fromkeys(info.name for report in batch.reports for info in report.run.header.metrics)
    )
    rows = (
        [_safe_cell(part.label), *row]
        for part in batch.parts
        if part.report is not None
        for row in _report_rows(part.report, metrics)
    )
    return _write([_safe_cell(name) for name in (batch.noun, *COLUMNS, *metrics)], rows)


def _report_rows(report: Report, metrics: Sequence[str]) -> Iterator[list[str]]:
    differences = differences_by_case(report.breakage)
    for result in case_status.case_results(report.run, report.gate_result, report.baseline):
        yield [
            *_case_row(result),
            _safe_cell(differences.get(result.case.id, "")),
            *(_mean_cell(case_status.metric_values(result.trials, name)) for name in metrics),
        ]


def history_csv(rows: Sequence[HistoryRow]) -> str:
    """Render the history of a set: for each run a row for each metric and tag, then one for each threshold."""
    cells = (_history_row(row, part) for row in rows for part in _history_parts(row))
    return _write(HISTORY_COLUMNS, cells)


def _history_parts(row: HistoryRow) -> Iterator[HistoryMetric | HistoryThreshold]:
    yield from row.metrics
    yield from row.result.thresholds if row.result is not None else ()


def runs_csv(runs: Sequence[ListedRun]) -> str:
    """Render stored runs, one row for each."""
    names = [field.name for field in dataclasses.fields(ListedRun)]
    return _write(names, ([_value_cell(getattr(run, name)) for name in names] for run in runs))


def _write(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([titles, *rows])
    return stream.getvalue()


def _case_row(result: case_status.CaseResult) -> Iterator[str]:
    trial = case_status.representative_trial(result.trials, passed=False)
    output = trial.output if trial else None
    costs = [t.output.cost_usd for t in result.trials if t.output.cost_usd is not None]
    latencies = [t.output.latency_s for t in result.trials if t.output.error is None]
    outputs = [trial.output for trial in result.trials]
    first_tokens = [each.first_token_s for each in outputs if each.first_token_s is not None]
    yield from map(_safe_cell, (result.case.id, " ".join(result.case.tags), result.status))
    change = result.change
    counts = (change.flaky, result.passed, result.scored, len(result.trials))
    # A flag is 0 or 1, because spreadsheets localize TRUE and FALSE.
    yield from (str(int(count)) for count in (*counts, change.base_passed, change.base_trials))
    yield _mean_cell(latencies)
    yield _mean_cell(first_tokens)
    yield f"{sum(costs):g}" if costs else ""
    texts = (
        case_status.reason_text(result),
        case_status.input_text(result.case),
        "" if result.case.expected is None else case_status.json_text(result.case.expected),
        case_status.answer_text(output) if output else "",
        case_status.error_text(output) if output else "",
    )
    yield from map(_safe_cell, texts)


def _value_cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return _safe_cell(value) if isinstance(value, str) else f"{value:.9g}"


def _history_row(row: HistoryRow, part: HistoryMetric | HistoryThreshold) -> Iterator[str]:
    """Yield the cells of a metric of a run, or of a threshold that was applied to it."""
    values = msgspec.to_builtins(row)
    values["errors"] = sum(row.errors.values())
    result = row.result
    values["verdict"] = result.word if result is not None else None
    values["outcome"] = result.outcome if result is not None else None
    values["baseline"] = result.baseline if result is not None else None
    own = msgspec.to_builtins(part)
    if isinstance(part, HistoryThreshold):
        # `kind` and `baseline` are those of the run in every row.
        del own["kind"], own["baseline"]
        limit = "" if part.allowed is None else f" {part.allowed:g}"
        own |= {"threshold": f"{part.kind}{limit}", "threshold_outcome": own.pop("outcome")}
    values |= own
    for name in HISTORY_COLUMNS:
        yield _value_cell(values.get(name))


def _mean_cell(values: Sequence[float]) -> str:
    return f"{mean(values):.9g}" if values else ""


def _safe_cell(text: str) -> str:
    """Return text as a cell that no spreadsheet reads as a formula."""
    return escape_csv_formula(escape_unsafe(text, newlines=True)[:_MAX_CELL_CHARS])
