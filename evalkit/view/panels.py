"""Turn the progress of a run into what a page shows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from evalkit.core.format import format_count, format_estimated_time
from evalkit.report.content import value_cell
from evalkit.report.html.page import render_macro
from evalkit.view.catalog import StoredRun
from evalkit.view.progress import CaseProgress, Passes, Progress, WorstCase
from evalkit.view.time_left import TimeLeft

MAX_CELLS = 400
"""Cases that are drawn one by one; of more, only the counts are shown."""

_QUIET_S = 60.0

_STATE_TEXTS: dict[CaseProgress, str] = {
    "passes": "passes",
    "fails": "fails, new or passed before",
    "fails_as_before": "fails as before",
    "error": "has an error",
    "waiting": "waiting",
}


def panel_view(
    run: StoredRun,
    progress: Progress,
    href: str,
    case_pages: Mapping[str, str],
    quiet_s: float | None,
) -> dict[str, Any]:
    """Return the view of a run that is not finished.

    Args:
        run: the run.
        progress: how far it is.
        href: the address of its own page; empty on that page.
        case_pages: the addresses of the pages of the worst cases; empty where there is none.
        quiet_s: the seconds since anything was stored; None if unknown.
    """
    counts = Counter(progress.cases)
    about = ", ".join(filter(None, (run.version, f"started {_time(run.created)} UTC")))
    looks = progress.header.looks
    return {
        "id": run.id,
        "word": "Running" if run.is_alive else "Interrupted",
        "href": href,
        "evalset": run.evalset,
        "about": f"{about} · {run.id}",
        "done": progress.done,
        "planned": max(progress.planned, progress.done),
        "done_text": f"{progress.done:,}",
        "planned_text": f"{progress.planned:,}",
        "share": progress.done / max(progress.planned, progress.done, 1),
        "look": f"look {progress.header.trials} of up to {looks}" if looks > 1 else "",
        "figures": [*(_time_figures(progress) if run.is_alive else ()), *_figures(progress)],
        "quiet": ""
        if not run.is_alive or quiet_s is None or quiet_s < _QUIET_S
        else f"Nothing was stored in the last {format_estimated_time(quiet_s)}.",
        "order": "in the order of the set" if len(progress.cases) <= MAX_CELLS else "",
        "cells": progress.cases if len(progress.cases) <= MAX_CELLS else (),
        "counts": [
            (state, f"{text}: {counts[state]:,}")
            for state, text in _STATE_TEXTS.items()
            if counts[state]
        ],
        "worst": [
            {
                "id": case.case_id,
                "href": case_pages[case.case_id],
                "text": _worst_text(case),
                "is_new": case.is_new,
            }
            for case in progress.worst
        ],
    }


def _time_figures(progress: Progress) -> list[dict[str, str]]:
    left, more = _left_texts(progress.left, progress.left_most)
    elapsed = "unknown" if progress.elapsed_s is None else format_estimated_time(progress.elapsed_s)
    return [_figure("since the start", elapsed), _figure("left, about", left, more)]


def _figures(progress: Progress) -> list[dict[str, str]]:
    limit, cost = progress.cost_limit_usd, progress.cost_usd
    return [
        _figure("failed", f"{progress.failed:,} of {progress.done:,}"),
        _figure("errors", f"{progress.errors:,}"),
        _figure("cost so far", "none reported" if cost is None else value_cell(cost, "usd")),
        _figure("cost limit", "none" if limit is None else value_cell(limit, "usd")),
    ]


def _figure(name: str, text: str, more: str = "") -> dict[str, str]:
    return {"name": name, "text": text, "more": more}


def _left_texts(left: TimeLeft | None, left_most: TimeLeft | None) -> tuple[str, str]:
    if left is None:
        return "not known yet", ""
    low, high = format_estimated_time(left.low_s), format_estimated_time(left.high_s)
    text = low if low == high else f"{low} to {high}"
    if left_most is None:
        return text, ""
    return text, f"up to {format_estimated_time(left_most.high_s)} with every further look"


def figures_text(run: StoredRun, progress: Progress) -> str:
    """Return the figures of a run as one sentence, to be read out."""
    left, _ = _left_texts(progress.left, None)
    return (
        f"{run.evalset}: {progress.done:,} of {format_count(progress.planned, 'trial')} done, "
        f"{progress.failed:,} failed, {format_count(progress.errors, 'error')}, time left {left}."
    )


def render_panel(view: dict[str, Any]) -> str:
    """Render the view of a run under way as a part of a page."""
    return str(render_macro("live_panel", view, template="live.html.j2"))


def _worst_text(case: WorstCase) -> str:
    if case.problem:
        return case.problem
    now = _passes_text(case.now)
    if case.before is None:
        return f"{now}, not in the baseline"
    before = _passes_text(case.before)
    return f"{before} → {now}" if case.is_new else f"as before {before} → {now}"


def _passes_text(passes: Passes) -> str:
    return f"{passes.passed}/{passes.trials}"


def _time(created: str) -> str:
    return created[11:19]
