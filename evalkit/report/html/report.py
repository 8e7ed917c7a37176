"""Render a run as an HTML page: gate result, thresholds beside the worst cases, and every case."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from markupsafe import Markup, escape

from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run
from evalkit.core.trial import Trial
from evalkit.report import content
from evalkit.report.breakage import BREAKAGE_TITLES, breakage_rows, breakage_sentences
from evalkit.report.call_rows import CALL_TITLES, call_rows
from evalkit.report.case_status import (
    CaseResult,
    case_results,
    count_statuses,
    representative_trial,
    worst_first,
)
from evalkit.report.html.cases import (
    CaseGroup,
    case_view,
    filter_views,
    group_cases,
    worst_view,
)
from evalkit.report.html.metrics import metric_views
from evalkit.report.html.page import render_page
from evalkit.report.html.thresholds import draw_thresholds
from evalkit.report.html.views import TableCell, limit_texts, true_minus
from evalkit.report.html.waterfall import StepSides, render_step_sides
from evalkit.report.in_common import find_in_common
from evalkit.report.model import Report
from evalkit.report.verdict import Headline, find_headline, verdict_reason, verdict_word
from evalkit.store.span_file import SpansByTrial

_MAX_CHECKS = 100
_MAX_TAG_METRICS = 4
_MAX_WORST = 5
_MAX_DETAILED = 1_000
"""In a run of more cases, those that did not change have only a row and the command that shows them."""

# The size of all texts and of all waterfalls, so that a page is smaller than a megabyte.
_MAX_PAGE_CHARS = 500_000
_MAX_WATERFALL_BYTES = 420_000
# Input, expected, both answers, and explanations.
_TEXTS_PER_CASE = 6

_TOP_ROWS = ("result", "judge", "gate")
"""The labels of the rows about a run that come right after the result."""


def render_html(report: Report, find_case_page: Callable[[str], str] | None = None) -> str:
    """Render a run as one self-contained page.

    `find_case_page` returns the address of the page of a case by its id, empty if it has none.
    """
    run, gate_result = report.run, report.gate_result
    header = run.header
    results = case_results(run, gate_result, report.baseline)
    checks = content.checks_by_urgency(gate_result)[:_MAX_CHECKS]
    headline = find_headline(header, gate_result)
    reason = verdict_reason(header, gate_result)
    tag_titles, tags = content.tag_rows(header, gate_result, _MAX_TAG_METRICS)
    word = verdict_word(header, gate_result)
    metrics = metric_views(report)
    moved = sum(bool(metric["change"]) for metric in metrics)
    rows = content.run_rows(run, gate_result, report.baseline)
    return render_page(
        "report.html.j2",
        styles=("report.css",),
        title=f"{word} {header.evalset}: run report",
        crumb=f"run report · {header.id} · {header.created[:16].replace('T', ' ')} UTC",
        evalset=header.evalset,
        outcome=gate_result.outcome,
        outcome_word=word,
        versions=_versions_text(run, report.baseline),
        headline=headline,
        definition=_plain_apostrophes(gate_result.definition_sentence),
        facts=list(_facts(run, rows)),
        thresholds=draw_thresholds(header, checks),
        **_worst_views(results),
        common=find_in_common(results),
        filters=filter_views(results),
        case_tags=sorted({name for result in results for name in result.case.tags}),
        groups=_group_views(report, results, find_case_page or _find_none),
        edits=content.gate_rows(gate_result),
        breakage_titles=BREAKAGE_TITLES,
        breakage_table=_cells(breakage_rows(report.breakage)),
        breakage_sentences=breakage_sentences(report.breakage),
        reason=_leave_out(reason, headline),
        sentences=[
            content.check_sentence(check)
            for check in checks
            if check.sentence not in gate_result.reason
        ],
        metrics=metrics,
        metrics_text=f"{moved} changed, {len(metrics) - moved} did not" if moved else "",
        tag_titles=["tag", *tag_titles[1:]],
        tag_table=_cells(tags),
        call_titles=CALL_TITLES,
        calls=_cells(call_rows(report.calls)),
        notes=list(_note_views(gate_result)),
        run_rows=[
            *((label, text) for label, text in rows if label not in _TOP_ROWS),
            *_origin_rows(run),
        ],
        hints=report.hints,
    )


def _leave_out(reason: str, headline: Headline) -> str:
    """Return the reason without the sentences that the headline has, so that none is read twice."""
    for sentence in re.split(r"(?<=[.?]) ", f"{headline.finding}{headline.rest}"):
        reason = reason.replace(sentence, "")
    return " ".join(reason.split())


def _cells(rows: Sequence[Sequence[str]]) -> list[list[TableCell]]:
    return [[TableCell(true_minus(text)) for text in row] for row in rows]


def _note_views(gate_result: GateResult) -> Iterator[tuple[str, str, list[str], bool]]:
    """Yield the id, the title, and the texts of the notes, and whether they are open.

    Notes that only add numbers are folded.
    """
    asides = [note for note in gate_result.notes if note in gate_result.asides]
    others = [note for note in gate_result.notes if note not in gate_result.asides]
    yield "notes", "Notes", others, True
    yield "asides", "Odds, power, and other numbers", asides, False


def _plain_apostrophes(text: str) -> Markup:
    """Return escaped text whose apostrophes are as written, so that a search in the page finds them."""
    return Markup(str(escape(text)).replace("&#39;", "'"))  # noqa: S704 - it is escaped


def _versions_text(run: Run, baseline: Run | None) -> str:
    version = run.header.agent_version or "no version"
    if baseline is None:
        return version
    return f"{version} against baseline {baseline.header.agent_version or 'without a version'}"


def _facts(run: Run, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the size of a run, and the texts of the rows about it that a reader needs first."""
    header = run.header
    cases = f"{len(header.cases):,} {'case' if len(header.cases) == 1 else 'cases'}"
    yield f"{cases} × {header.trials_text}"
    texts = dict(rows)
    for label in _TOP_ROWS:
        if label in texts:
            yield texts[label] if label == "result" else f"{label} {texts[label]}"


def _origin_rows(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what a run was made from: set, commit, and version of evalkit."""
    header = run.header
    yield "set", f"{header.evalset_path}, digest {header.evalset_digest}"
    if header.git_commit:
        dirty = ", with changes that are not committed" if header.git_dirty else ""
        yield "commit", f"{header.git_commit}{dirty}"
    yield "evalkit", header.evalkit_version


def _worst_views(results: Sequence[CaseResult]) -> dict[str, Any]:
    worst = worst_first(results)
    shown = [worst_view(result) for result in worst[:_MAX_WORST]]
    title = "No case needs attention"
    if worst:
        is_all = len(worst) == len(shown)
        title = (
            "Cases that need attention" if is_all else f"Worst {len(shown)} of {len(worst):,} cases"
        )
    counts = [
        (status, f"{count:,} {status.replace('_', ' ')}")
        for status, count in count_statuses(results).items()
    ]
    return {"worst": shown, "worst_title": title, "counts": counts}


def _find_none(_: str) -> str:
    return ""


def _group_views(
    report: Report, results: Sequence[CaseResult], find_case_page: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Return the groups of cases with the views of their cases, which together have a limited size."""
    limit = limit_texts(_TEXTS_PER_CASE * len(results), _MAX_PAGE_CHARS)
    units = {info.name: info.unit for info in report.run.header.metrics}
    groups = group_cases(results)
    spans = {
        result.case.id: _step_sides(report, result) for group in groups for result in group.results
    }
    steps = render_step_sides(spans, limit, _MAX_WATERFALL_BYTES)
    ranks = {result.case.id: rank for rank, result in enumerate(_all_results(groups))}
    return [
        {
            "title": group.title,
            "cases": [
                {
                    **case_view(
                        result,
                        units,
                        limit,
                        steps.get(result.case.id),
                        is_brief=bool(group.title),
                    ),
                    "command": f"evalkit show {report.run.header.id} {shlex.quote(result.case.id)}"
                    if group.title and len(results) > _MAX_DETAILED
                    else "",
                    "rank": ranks[result.case.id],
                    "page": find_case_page(result.case.id),
                }
                for result in group.results
            ],
        }
        for group in groups
    ]


def _all_results(groups: Sequence[CaseGroup]) -> Iterator[CaseResult]:
    for group in groups:
        yield from group.results


def _step_sides(report: Report, result: CaseResult) -> StepSides:
    """Return the steps of the trials that a case shows; those of the baseline unless the case passes."""
    now = representative_trial(result.trials, passed=False)
    is_compared = result.is_broken or result.status not in ("passed", "not_scored")
    base = representative_trial(result.base, passed=True) if is_compared else None
    return StepSides(
        before=_find_spans(report.base_spans, base), now=_find_spans(report.spans, now)
    )


def _find_spans(stored: SpansByTrial, trial: Trial | None) -> Sequence[Any]:
    if trial is None:
        return ()
    # A stored run has its spans in a separate file.
    return stored.get((trial.case_id, trial.number), ()) or trial.output.spans
