"""Render a comparison of two runs or of several versions as an HTML page, with changed outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange
from evalkit.core.safe_text import head
from evalkit.core.trial import Trial
from evalkit.core.values import iter_texts
from evalkit.report import diff_content
from evalkit.report.case_status import (
    answer_text,
    error_text,
    input_text,
    json_text,
    representative_pair,
)
from evalkit.report.html.page import render_page
from evalkit.report.html.text_diff import compare_texts, mark_texts
from evalkit.report.html.versions_view import (
    alike_texts,
    build_forests,
    build_heat,
    group_views,
    split_rows,
    version_views,
)
from evalkit.report.html.views import TableCell, TextBlock, limit_texts, true_minus, word_diff
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import Diff
from evalkit.report.tool_call_diff import tool_call_diff_lines
from evalkit.report.version_matrix import VersionMatrix
from evalkit.report.versions_content import as_versions, group_cases, summarize_versions

_MAX_CASES = 300
_MAX_ROWS = 300
_TEXTS_PER_CASE = 6
_CHANGED_STATUSES = ("regressed", "failing", "error", "fixed", "not_run")
# The size of all texts together, so that a page is smaller than a megabyte.
_MAX_PAGE_CHARS = 400_000
_MAX_WATERFALL_BYTES = 40_000


def render_diff(diff: Diff) -> str:
    """Render a comparison of two runs as one self-contained page, with the cases that changed first."""
    versions = as_versions(diff)
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
    before, now = diff_content.side_names(diff)
    return _render(
        versions,
        title=f"{diff.base.header.evalset}: {before} and {now}",
        crumb=f"diff · {diff.candidate.header.evalset_path} · {before} → {now}",
        case_counts=diff_content.case_counts_text(diff),
        case_lists=_list_cases(
            [_case_view(diff, change, cases.get(change.case_id), limit) for change in shown]
        ),
        left_out=len(detailed) + len(others) - len(shown),
        tags=list(_changed_tags(diff))[:_MAX_ROWS],
        notes=diff_content.diff_notes(diff),
    )


def _list_cases(views: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the cases in lists with titles: worse and better ones first, without a title, then a fold each."""
    first = [view for view in views if view["is_open"] or view["status"] in _CHANGED_STATUSES]
    rest: dict[str, list[dict[str, Any]]] = {}
    for view in views:
        if view not in first:
            rest.setdefault(view["status"].replace("_", " "), []).append(view)
    lists = [("", first), *((f"{len(alike):,} {status}", alike) for status, alike in rest.items())]
    return [each for each in lists if each[1]]


def _changed_tags(diff: Diff) -> Iterator[list[TableCell]]:
    """Yield the metrics by tag whose values differ."""
    for change in diff_content.metric_changes(diff):
        name, before, now, *rest = diff_content.metric_change_row(change)
        if change.tag is not None and before != now:
            texts = (f"{change.metric} {name.strip()}", before, now, *rest)
            yield [TableCell(true_minus(text)) for text in texts]


def _render(shown: VersionMatrix, **view: Any) -> str:
    """Render what the pages of two runs and of several versions have in common, and their own parts."""
    lead, rest = summarize_versions(shown)
    differ, alike = split_rows(shown.matrix.rows[:_MAX_ROWS])
    listed = replace(shown.matrix, cases=shown.matrix.cases[: diff_content.MAX_LISTED_CASES])
    groups = group_cases(replace(shown, matrix=listed))
    return render_page(
        "versions.html.j2",
        styles=("versions.css",),
        heading=f"{shown.runs[0].header.evalset}: {', '.join(shown.labels)}",
        lead=lead,
        rest=rest,
        versions=version_views(shown),
        forests=build_forests(shown, differ),
        alike=alike_texts(alike),
        cases_title=diff_content.cases_title(shown),
        heat=build_heat(groups, shown.labels, "case" if len(shown.labels) == 2 else "group")
        if groups
        else None,
        # Two runs list every case with its answers instead.
        groups=group_views(groups) if len(shown.labels) > 2 else [],
        left_out_cases=len(shown.matrix.cases) - len(listed.cases),
        **{"case_lists": [], "tags": [], "outputs": [], "left_out": 0, "case_counts": "", **view},
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
        "passes": diff_content.change_passes(change).replace("->", "→"),
        "is_open": is_open,
        "step_sentences": sentences,
        "steps": steps,
        **_answers_view(base, candidate, case, blocks, limit),
    }


def _answers_view(
    base: Trial | None,
    candidate: Trial | None,
    case: Case | None,
    blocks: Sequence[TextBlock],
    limit: int,
) -> dict[str, Any]:
    """Return the answers before and now with what only one of them has marked; equal ones once."""
    before, now = _answer(base, limit), _answer(candidate, limit)
    if base is None or candidate is None:
        text = (before if base else now) or "in neither run"
        only = TextBlock("before" if base else "now", text)
        return {"blocks": [*blocks, only], "sides": (), "sides_note": ""}
    if before == now:
        return {
            "blocks": [*blocks, TextBlock("the same output", now)],
            "sides": (),
            "sides_note": "",
        }
    change = compare_texts(before, now)
    left, note = change.before, ""
    if not change.is_alike and case is not None:
        left = mark_texts(before, list(iter_texts(case.expected)))
        note = ", another answer" + ("; expected texts are marked" if len(left) > 1 else "")
    return {"blocks": list(blocks), "sides": (left, change.now), "sides_note": note}


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
    evalset = shown.runs[0].header
    return _render(
        shown,
        title=f"{evalset.evalset}: {len(shown.runs)} versions",
        crumb=f"versions · {evalset.evalset_path} · {diff_content.matrix_scope(shown)}",
        outputs=_version_texts(shown),
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
