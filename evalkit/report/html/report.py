"""Render a run as an HTML page: gate result, thresholds, distributions, and every case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup, escape

from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check
from evalkit.core.run import Run
from evalkit.report import content
from evalkit.report.breakage import BREAKAGE_TITLES, breakage_rows, breakage_sentences
from evalkit.report.case_status import (
    CaseResult,
    case_results,
    metric_values,
    representative_trial,
)
from evalkit.report.html.cases import case_view, filter_views, rank_cases
from evalkit.report.html.page import render_page
from evalkit.report.html.svg import Plot, interval_plot, strips_plot
from evalkit.report.html.views import TableCell, limit_texts
from evalkit.report.html.waterfall import render_waterfalls
from evalkit.report.model import Report

_MAX_CHECKS = 100
_MAX_METRICS = 24
_MAX_TAG_METRICS = 4

# The size of all texts and of all waterfalls, so that a page is smaller than a megabyte.
_MAX_PAGE_CHARS = 500_000
_MAX_WATERFALL_BYTES = 420_000
# Input, expected and both answers, their difference, and explanations.
_TEXTS_PER_CASE = 6


def render_html(report: Report) -> str:
    """Render a run as one self-contained page."""
    run, gate_result = report.run, report.gate_result
    results = case_results(run, gate_result, report.baseline)
    tag_titles, tags = content.tag_rows(run.header, gate_result, _MAX_TAG_METRICS)
    word = gate_result.word
    return render_page(
        "report.html.j2",
        title=f"{word} {run.header.evalset}",
        evalset=run.header.evalset,
        outcome=gate_result.outcome,
        outcome_word=word,
        reason=content.gate_reason(gate_result),
        definition=_plain_apostrophes(gate_result.definition_sentence),
        run_rows=content.run_rows(run, gate_result, report.baseline),
        checks=[
            _check_view(report, check)
            for check in content.checks_by_urgency(gate_result)[:_MAX_CHECKS]
        ],
        metrics=list(_metric_views(report)),
        filters=filter_views(results),
        case_tags=sorted({name for result in results for name in result.case.tags}),
        cases=_case_views(report, results),
        tag_titles=["tag", *tag_titles[1:]],
        tag_table=[[TableCell(text) for text in row] for row in tags],
        breakage_titles=BREAKAGE_TITLES,
        breakage_table=[
            [TableCell(text) for text in row] for row in breakage_rows(report.breakage)
        ],
        breakage_sentences=breakage_sentences(report.breakage),
        notes=gate_result.notes,
        hints=report.hints,
    )


def _plain_apostrophes(text: str) -> Markup:
    """Return escaped text whose apostrophes are as written, so that a search in the page finds them."""
    return Markup(str(escape(text)).replace("&#39;", "'"))  # noqa: S704 - it is escaped


def _check_view(report: Report, check: Check) -> dict[str, Any]:
    unit = content.unit_of(report.run.header, check)
    return {
        "outcome": check.outcome,
        "word": content.OUTCOME_WORDS[check.outcome],
        "name": name_rule(check.rule),
        "sentence": content.check_sentence(check),
        # Baseline, this run, change, and limit.
        "cells": (*content.check_cells(check, unit), content.limit_cell(check.rule, unit)),
        "plot": _check_plot(check),
    }


def _check_plot(check: Check) -> Plot | None:
    """Return the plot of the change or the value that a threshold limits."""
    rule = check.rule
    is_change = rule.max_drop is not None or rule.max_rise is not None
    value = check.difference if is_change else check.candidate
    if value is None or not rule.metric:
        return None
    limit = -rule.max_drop if rule.max_drop is not None else rule.min
    return interval_plot(
        check.sentence,
        value,
        (check.low, check.high),
        rule.max if limit is None else limit,
        has_zero=is_change,
    )


def _latencies(run: Run | None) -> list[float]:
    trials = run.trials if run else ()
    return [trial.output.latency_s for trial in trials if trial.output.error is None]


def _metric_views(report: Report) -> Iterator[dict[str, Any]]:
    cells = {name: rest for name, *rest in content.metric_rows(report.gate_result)}
    no_cells = ["", "", ""]
    metrics = report.run.header.metrics
    for info in metrics[:_MAX_METRICS]:
        sides = [
            metric_values(run.trials if run else (), info.name)
            for run in (report.baseline, report.run)
        ]
        yield _metric_view(info.name, cells.get(info.name, no_cells), info.unit, *sides)
    before, now = (_latencies(run) for run in (report.baseline, report.run))
    # Latencies are known even if the set does not score them.
    if now and all(info.name != "latency_s" for info in metrics):
        yield _metric_view("latency", no_cells, "s", before, now)


def _metric_view(
    name: str, cells: Sequence[str], unit: str, before: Sequence[float], now: Sequence[float]
) -> dict[str, Any]:
    view: dict[str, Any] = {"name": name, "cells": cells, "plot": None}
    sides = [(side, values) for side, values in (("base", before), ("now", now)) if values]
    if sides:
        # Durations may differ by orders of magnitude, but 0 has no logarithm.
        is_log = unit == "s" and min(min(values) for _, values in sides) > 0
        plot = strips_plot(f"distribution of {name}", sides, is_log=is_log)
        ends = [content.value_cell(end, unit) for end in (plot["low"], plot["high"])]
        view.update(plot=plot, low=ends[0], high=ends[1])
    return view


def _case_views(report: Report, results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    ranked = rank_cases(results)
    limit = limit_texts(_TEXTS_PER_CASE * len(ranked), _MAX_PAGE_CHARS)
    units = {info.name: info.unit for info in report.run.header.metrics}
    spans = {}
    for result in ranked:
        trial = representative_trial(result.trials, passed=False)
        if trial is not None:
            # A stored run has its spans in a separate file.
            stored = report.spans.get((trial.case_id, trial.number), ())
            spans[result.case.id] = stored or trial.output.spans
    steps = render_waterfalls(spans, limit, _MAX_WATERFALL_BYTES)
    return [case_view(result, units, limit, steps.get(result.case.id)) for result in ranked]
