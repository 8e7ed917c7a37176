"""Say in Markdown what a run and its baseline are: version, size, cost, latency, and age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.trial import Trial
from evalkit.report import content, markdown
from evalkit.report.model import Report

_OLD_BASELINE_DAYS = 60


def list_run_facts(report: Report) -> Iterator[str]:
    """Yield the version, cost, and latency of the run, and the age of the baseline."""
    run, base = report.run, report.baseline
    size = f"{format_count(len(run.header.cases), 'case')} x {run.header.trials_text}"
    parts = [f"version {markdown.inline_code(run.header.agent_version or 'unversioned')}, {size}"]
    parts += [text for text in (_cost_text(run, base), _time_text(run, base)) if text]
    yield f"**This change:** {'; '.join(parts)}."
    if base is None:
        yield "**Baseline:** none."
        return
    age = age_in_days(base.header.created, run.header.created)
    words = "" if age is None else f", {format_count(age, 'day')} old"
    stale = (
        " Record it again: an old baseline hides later changes."
        if (age or 0) >= _OLD_BASELINE_DAYS
        else ""
    )
    trials = format_count(base.header.trials, "trial")
    yield (
        f"**Baseline:** version {markdown.inline_code(base.header.agent_version or 'unversioned')}, "
        f"{trials} per case{words}.{stale}"
    )


def _cost_text(run: Run, base: Run | None) -> str:
    now, before = _costs(run.trials), _costs(base.trials if base else ())
    if not now:
        return ""
    each = content.value_cell(sum(now) / len(now), "usd")
    was = (
        f", {content.value_cell(sum(before) / len(before), 'usd')} in the baseline"
        if before
        else ""
    )
    return f"cost {content.value_cell(sum(now), 'usd')} ({each} per trial{was})"


def _costs(trials: Iterable[Trial]) -> list[float]:
    return [trial.output.cost_usd for trial in trials if trial.output.cost_usd is not None]


def _time_text(run: Run, base: Run | None) -> str:
    now, before = _median_latency_s(run.trials), _median_latency_s(base.trials if base else ())
    if now is None:
        return ""
    was = f" ({content.value_cell(before, 's')} in the baseline)" if before is not None else ""
    return f"half of the answers within {content.value_cell(now, 's')}{was}"


def _median_latency_s(trials: Iterable[Trial]) -> float | None:
    times = sorted(trial.output.latency_s for trial in trials if trial.output.error is None)
    return times[len(times) // 2] if times else None


def age_in_days(then: str, now: str) -> int | None:
    """Return the whole days between two stored times, or None if one of them is not valid.

    >>> age_in_days("2026-11-01T12:00:00Z", "2026-11-22T16:54:01Z")
    21
    """
    try:
        days = (datetime.fromisoformat(now) - datetime.fromisoformat(then)).days
    except (ValueError, TypeError):
        return None
    return max(days, 0)
