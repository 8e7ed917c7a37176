"""Render a comparison of two runs or of several versions as an HTML page, with changed outputs."""

from __future__ import annotations

from typing import Any

from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange
from evalkit.core.safe_text import head, one_line
from evalkit.core.trial import Trial
from evalkit.report import diff_content
from evalkit.report.case_status import (
    answer_text,
    error_text,
    input_text,
    json_text,
    representative_pair,
)
from evalkit.report.html.page import render_page
from evalkit.report.html.views import TableCell, TextBlock, limit_texts, word_diff
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import Diff, VersionMatrix
from evalkit.report.tool_call_diff import tool_call_diff_lines

_MAX_CASES = 300
_MAX_ROWS = 300
_TEXTS_PER_CASE = 6
# The size of all texts together, so that a page is smaller than a megabyte.
_MAX_PAGE_CHARS = 400_000
_MAX_WATERFALL_BYTES = 40_000
# Every cell of a matrix repeats the label of its column.
_MAX_LABEL_CHARS = 60


def render_diff(diff: Diff) -> str:
    """Render a comparison of two runs as one self-contained page."""
    before, now = diff_content.side_names(diff)
    metrics = []
    for change in diff_content.metric_changes(diff)[:_MAX_ROWS]:
        name, *cells = diff_content.metric_change_row(change)
        metrics.append([TableCell(name, bold=change.tag is None), *map(TableCell, cells)])
    changes = {change.case_id: change for change in diff.comparison.cases}
    detailed = [changes[case_id] for case_id in diff.detailed_case_ids if case_id in changes]
    others = [
        change
        for change in diff_content.changed_cases(diff)
        if change.case_id not in diff.detailed_case_ids
    ]
    shown = [*detailed, *others][:_MAX_CASES]
    limit = limit_texts(_TEXTS_PER_CASE * len(shown), _MAX_PAGE_CHARS)
    cases = {case.id: case for run in (diff.base, diff.candidate) for case in run.header.cases}
    return render_page(
        "diff.html.j2",
        title=f"{diff.base.header.evalset}: {before} and {now}",
        evalset=diff.base.header.evalset,
        before=before,
        now=now,
        metrics=metrics,
        case_counts=diff_content.case_counts_text(diff),
        cases=[_case_view(diff, change, cases.get(change.case_id), limit) for change in shown],
        left_out=len(detailed) + len(others) - len(shown),
        notes=diff_content.diff_notes(diff),
    )


def _case_view(diff: Diff, change: CaseChange, case: Case | None, limit: int) -> dict[str, Any]:
    base, candidate = representative_pair(diff.base, diff.candidate, change.case_id)
    blocks = []
    if case is not None:
        blocks.append(TextBlock("asked", head(input_text(case), limit)))
        if case.expected is not None:
            blocks.append(TextBlock("expected", head(json_text(case.expected), limit)))
    is_open = change.case_id in diff.detailed_case_ids
    sentences, steps = [], []
    if is_open:
        sentences = [text[:limit] for text in tool_call_diff_lines(diff, change.case_id)]
        max_bytes = _MAX_WATERFALL_BYTES // len(diff.detailed_case_ids)
        for side, spans in zip(("before", "now"), diff.find_spans(base, candidate), strict=True):
            drawn = render_waterfall(spans, limit, max_bytes)
            if drawn is not None:
                steps.append((side, drawn))
    return {
        "id": change.case_id,
        "status": change.status,
        "label": diff_content.change_label(change),
        "passes": diff_content.change_passes(change),
        "is_open": is_open,
        "blocks": [*blocks, _compare_answers(base, candidate, limit)],
        "step_sentences": sentences,
        "steps": steps,
    }


def _compare_answers(base: Trial | None, candidate: Trial | None, limit: int) -> TextBlock:
    before, now = _answer(base, limit), _answer(candidate, limit)
    if base is None or candidate is None:
        text = (before if base else now) or "in neither run"
        return TextBlock("before" if base else "now", text)
    if before == now:
        return TextBlock("the same output", now)
    return TextBlock("output, from before to now", "", word_diff(before, now))


def _answer(trial: Trial | None, limit: int) -> str:
    if trial is None:
        return ""
    return head(error_text(trial.output) or answer_text(trial.output), limit)


def render_matrix(shown: VersionMatrix) -> str:
    """Render a comparison of several versions as one self-contained page."""
    evalset = shown.runs[0].header.evalset
    metrics = []
    for row in shown.matrix.rows[:_MAX_ROWS]:
        cells = [
            TableCell(
                diff_content.mean_with_interval(cell, row.unit),
                note=diff_content.cell_change_text(cell) if cell.change is not None else "",
            )
            for cell in row.cells
        ]
        metrics.append([TableCell(diff_content.row_name(row), bold=True), *cells])
    return render_page(
        "matrix.html.j2",
        title=f"{evalset}: {len(shown.runs)} versions",
        evalset=evalset,
        intro=diff_content.matrix_intro(shown),
        versions=list(diff_content.version_rows(shown)),
        labels=[one_line(label, _MAX_LABEL_CHARS) for label in shown.labels],
        metrics=metrics,
        cases_title=diff_content.cases_title(shown),
        cases=[
            [TableCell(case.case_id, bold=True), *map(TableCell, diff_content.case_row(case))]
            for case in shown.matrix.cases[: diff_content.MAX_LISTED_CASES]
        ],
        texts=_version_texts(shown),
        notes=diff_content.matrix_notes(shown),
    )


def _version_texts(shown: VersionMatrix) -> list[tuple[str, list[tuple[str, TextBlock]]]]:
    """Return how the output of each later version differs from the first, case by case."""
    limit = limit_texts(2 * len(shown.detailed_case_ids) * len(shown.runs), _MAX_PAGE_CHARS)
    texts = []
    for case_id in shown.detailed_case_ids:
        first, *others = diff_content.representative_trials(shown, case_id)
        versions = [
            (f"{shown.labels[0]} → {label}", _compare_answers(first, trial, limit))
            for label, trial in zip(shown.labels[1:], others, strict=True)
        ]
        texts.append((case_id, versions))
    return texts
