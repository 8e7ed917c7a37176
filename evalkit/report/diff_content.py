"""Turn a comparison of runs into the words and rows that all its reports share."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.compare.matrix import MatrixCase, MatrixCell, MatrixRow
from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseChange, MetricChange
from evalkit.core.literals import CaseStatus
from evalkit.core.run import RunHeader
from evalkit.core.safe_text import head
from evalkit.core.trial import Trial
from evalkit.report.case_status import (
    STATUS_TEXTS,
    answer_text,
    metric_passes_change,
    passes_change,
    passes_text,
    representative_trial,
    status_label,
    trials_of,
)
from evalkit.report.content import NO_VALUE, change_cell, interval_cell, value_cell
from evalkit.report.judge_calls import describe_cached_verdicts
from evalkit.report.model import Diff
from evalkit.report.version_matrix import VersionMatrix

_STEADY_STATUSES: tuple[CaseStatus, ...] = ("passed", "still_failing")

MAX_LISTED_CASES = 200
"""How many cases of a matrix are listed; the JSON has all of them."""

_MAX_TEXT_CHARS = 20_000
_MAX_LINES = 200


def side_names(diff: Diff) -> tuple[str, str]:
    """Return the version of each side with its run id, or with the number of pooled runs."""
    return (
        _side_name(diff.base.header, diff.base_runs),
        _side_name(diff.candidate.header, diff.candidate_runs),
    )


def _side_name(header: RunHeader, run_ids: Sequence[str]) -> str:
    of_runs = format_count(len(run_ids), "run") if run_ids else header.id
    return f"{header.agent_version or 'no version'} ({of_runs})"


def metric_change_text(change: MetricChange) -> str:
    """Return a change in points of a share, or in percent of a metric that has a unit."""
    if change.difference is None or not change.unit:
        return change_cell(change.difference, change.unit)
    return (
        change_cell(change.difference / abs(change.base), change.unit) if change.base else NO_VALUE
    )


def metric_change_row(change: MetricChange) -> tuple[str, str, str, str, str]:
    """Return the name, both values, the change, and the number of cases."""
    return (
        f"  in {change.tag}" if change.tag is not None else change.metric,
        value_cell(change.base, change.unit),
        value_cell(change.candidate, change.unit),
        metric_change_text(change),
        format_count(change.cases, "case"),
    )


def metric_changes(diff: Diff) -> list[MetricChange]:
    """Return the comparable metrics, each followed by its tags."""
    changes = [
        change
        for change in diff.comparison.metrics
        if not change.why_not and (change.tag is None or not diff.tags or change.tag in diff.tags)
    ]
    # Keep the order of metrics, so that a diff lists them as a report does.
    names = list(dict.fromkeys(change.metric for change in changes))
    return sorted(changes, key=lambda change: (names.index(change.metric), change.tag is not None))


def diff_notes(diff: Diff) -> list[str]:
    """Return why metrics are not compared, then the notes of the comparison."""
    incomparable = [
        f"{change.metric} is not comparable: {change.why_not}"
        for change in diff.comparison.metrics
        if change.why_not and change.tag is None
    ]
    cached = [
        f"{name}: {text}"
        for name, run in zip(side_names(diff), (diff.base, diff.candidate), strict=True)
        if (text := describe_cached_verdicts(run))
    ]
    return [*incomparable, *diff.comparison.notes, *cached]


def case_counts_text(diff: Diff) -> str:
    """Return the number of cases of each status as words."""
    cases = diff.comparison.cases
    counts = Counter(change.status for change in cases)
    words = [f"{counts[status]:,} {status}" for status in STATUS_TEXTS if counts[status]]
    origins = Counter(change.origin for change in cases)
    words += [
        f"{origins[origin]:,} of them {origin}" for origin in ("added", "edited") if origins[origin]
    ]
    return ", ".join(words).replace("_", " ") or "none in common"


def changed_cases(diff: Diff) -> list[CaseChange]:
    """Return the cases that differ, worst status first."""
    order = list(STATUS_TEXTS)
    changed = [
        change
        for change in diff.comparison.cases
        if change.status not in _STEADY_STATUSES
        or change.score_changed
        or change.origin != "shared"
    ]
    return sorted(changed, key=lambda change: order.index(change.status))


def change_label(change: CaseChange) -> str:
    """Return the status of a case as words, with what else differs."""
    words = [status_label(change)]
    if change.origin in ("added", "edited"):
        words.append(change.origin)
    if change.score_changed and change.status in _STEADY_STATUSES:
        words.append("score changed")
    return ", ".join(words)


def change_passes(change: CaseChange) -> str:
    """Return passes out of scored trials, before and now."""
    if change.origin == "removed":
        return f"{passes_text(change.base_passed, change.base_trials)} -> none"
    hit = metric_passes_change(change)
    return f"{passes_change(change)}{f'; {hit}' if hit else ''}"


def _answer_lines(trial: Trial | None) -> list[str]:
    return head(answer_text(trial.output), _MAX_TEXT_CHARS).split("\n") if trial else []


def unified_text_diff(base: Trial | None, candidate: Trial | None) -> Iterator[str]:
    """Yield the lines in which two outputs differ, like `diff -u`, up to a limit."""
    before, after = _answer_lines(base), _answer_lines(candidate)
    if before == after:
        yield "the same text" if base and candidate else "in neither run"
    for number, line in enumerate(difflib.unified_diff(before, after, lineterm="")):
        if number >= _MAX_LINES:
            yield "[... more lines differ]"
            return
        # Skip the first two lines, which name files.
        if number >= 2:
            yield line


def row_name(row: MatrixRow) -> str:
    """Return the metric of a matrix row with its tag."""
    return row.metric if row.tag is None else f"{row.metric} [{row.tag}]"


def mean_text(cell: MatrixCell, unit: str) -> str:
    """Return a mean and, if trials are missing, how many were scored."""
    text = value_cell(cell.mean, unit)
    return f"{text}, {cell.scored:,} of {cell.due:,} scored" if cell.scored < cell.due else text


def mean_with_interval(cell: MatrixCell, unit: str) -> str:
    """Return a mean with its interval."""
    text, bounds = mean_text(cell, unit), cell_interval_text(cell, unit)
    return f"{text} ({bounds})" if bounds else text


def cell_interval_text(cell: MatrixCell, unit: str) -> str:
    """Return the interval of a mean, empty if there is none."""
    return "" if cell.mean is None else interval_cell(cell.low, cell.high, unit)


def cell_change_text(cell: MatrixCell) -> str:
    """Return the change from the first version."""
    return metric_change_text(cell.change) if cell.change is not None else NO_VALUE


def matrix_intro(shown: VersionMatrix) -> str:
    """Return what is compared, and over how many cases."""
    header = shown.runs[0].header
    return f"{header.evalset}: {len(shown.runs)} versions over {matrix_scope(shown)}"


def matrix_scope(shown: VersionMatrix) -> str:
    """Return the cases that a comparison of versions is over, and what its changes are from."""
    return (
        f"{format_count(len(shown.matrix.shared), 'case')} that are the same in all; "
        f"changes are from {shown.labels[0]}, over the cases that both scored"
    )


def version_rows(shown: VersionMatrix) -> Iterator[tuple[str, str]]:
    """Yield the label of each version and the runs its trials are from."""
    for label, run, run_ids in zip(shown.labels, shown.runs, shown.run_ids, strict=True):
        where = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs"
        yield label, f"{where}, {format_count(run.header.trials, 'trial')} per case"


def case_row(case: MatrixCase) -> tuple[str, ...]:
    """Return how many versions pass a case, and the passes of each version."""
    passes = map(passes_text, case.passed, case.trials)
    # The first version is compared with nothing.
    statuses = ("", *(f" {status}".replace("_", " ") for status in case.statuses))
    return (
        f"{case.passing} of {len(case.trials)}",
        *(f"{text}{status}" for text, status in zip(passes, statuses, strict=True)),
    )


def cases_title(shown: VersionMatrix) -> str:
    """Return how many cases differ, and how many of them are listed."""
    count = len(shown.matrix.cases)
    if not count:
        return "No case differs"
    which = f"; the first {MAX_LISTED_CASES}" if count > MAX_LISTED_CASES else ""
    return f"{format_count(count, 'case')} with different results{which}"


def matrix_notes(shown: VersionMatrix) -> tuple[str, ...]:
    """Return the notes on pooled runs, then those of the matrix."""
    return (*shown.notes, *shown.matrix.notes)


def representative_trials(shown: VersionMatrix, case_id: str) -> list[Trial | None]:
    """Return a passing trial of the first version and a failing trial of every other version."""
    return [
        representative_trial(trials_of(run, case_id), passed=index == 0)
        for index, run in enumerate(shown.runs)
    ]
