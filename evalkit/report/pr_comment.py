"""Render a run as a pull request comment: gate result, broken cases, next steps, folded details.

The first line is an invisible marker that identifies the comment of a set. It contains a digest, no data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from evalkit.core.format import format_count
from evalkit.core.gate_result import Check
from evalkit.core.run import Run
from evalkit.core.serialization import digest
from evalkit.core.trial import Trial
from evalkit.report import content, markdown
from evalkit.report.case_status import CaseResult, case_results
from evalkit.report.model import Report

_TITLES = ("Baseline", "This change", "Difference")
_MAX_THRESHOLDS = 10
_OLD_BASELINE_DAYS = 60
# The address comes from the environment, so only plain characters become a link.
_URL = re.compile(r"https?://[A-Za-z0-9.:/_-]{1,300}")


class PullRequestComment(NamedTuple):
    """A comment: its text, the marker it begins with, and whether it reports any change."""

    text: str
    marker: str
    has_changes: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CommentPlace:
    """Where a comment is shown: the URL of the workflow run, and the commit that the comment is about.

    `key` identifies the comment of a job; without it, the set does. `how_to_accept` is a sentence on how a
    change is accepted there.
    """

    details: str = ""
    commit: str = ""
    key: str = ""
    how_to_accept: str = ""


def render_comment(report: Report, place: CommentPlace = CommentPlace()) -> PullRequestComment:
    """Render the comment on a run."""
    results = case_results(report.run, report.gate_result, report.baseline)
    marker = comment_marker(report.run.header.evalset_path, report.run.header.evalset)
    if place.key:
        marker = f"<!-- evalkit:{place.key} -->"
    state = f"{comment_state('decided', place.commit)}\n" if place.commit else ""
    head = f"{marker}\n{state}"
    text = markdown.fit_blocks(_blocks(report, results, place), markdown.COMMENT_LIMIT - len(head))
    return PullRequestComment(
        text=f"{head}{text}",
        marker=marker,
        has_changes=_has_changes(report, results),
    )


def comment_marker(path: str, name: str) -> str:
    """Return the first line of a comment, which identifies the comment of a set."""
    return f"<!-- evalkit:{digest([path, name])} -->"


def comment_state(state: str, commit: str) -> str:
    """Return the second line of a comment: the action reads which commit it is about."""
    return f"<!-- evalkit-state:{state} commit:{commit} -->"


def _has_changes(report: Report, results: Sequence[CaseResult]) -> bool:
    """Return whether the gate did not pass or was edited, or a case changed."""
    gate_result = report.gate_result
    edited = gate_result.gate is not None and bool(gate_result.gate.changes)
    unguarded = gate_result.definition is not None and gate_result.definition.warning
    changed = any(
        result.is_broken
        or result.status in ("fixed", "not_run")
        or (result.status == "flaky" and result.fails)
        for result in results
    )
    return gate_result.outcome != "pass" or edited or unguarded or changed


def _blocks(
    report: Report, results: Sequence[CaseResult], place: CommentPlace
) -> list[markdown.Block]:
    """Return the parts in reading order."""
    url = f"Run and reports: {place.details}" if _URL.fullmatch(place.details) else ""
    commit = f"Commit {markdown.inline_code(place.commit[:10])}." if place.commit else ""
    road = place.how_to_accept if report.gate_result.exit_code in (1, 4) else ""
    return [
        markdown.Block(0, markdown.headline(report)),
        markdown.Block(0, markdown.sentence_text(content.gate_reason(report.gate_result))),
        markdown.Block(0, " ".join(filter(None, (commit, markdown.sentence_text(road))))),
        markdown.Block(0, markdown.definition_block(report)),
        markdown.Block(1, markdown.gate_block(report)),
        markdown.Block(
            1, markdown.thresholds_block(report, _TITLES, _MAX_THRESHOLDS, _check_cells)
        ),
        markdown.Block(2, markdown.cases_block(report, results)),
        markdown.Block(3, markdown.breakage_block(report)),
        markdown.Block(1, "\n".join(_run_details(report))),
        markdown.Block(2, markdown.next_steps_block(report)),
        markdown.Block(1, url),
        markdown.Block(
            3,
            markdown.details_block(
                "Other thresholds", [markdown.unreported_checks_block(report.gate_result)]
            ),
        ),
        *markdown.details_blocks(report, results),
    ]


def _check_cells(check: Check, unit: str) -> tuple[str, str, str]:
    """Return the cells of a threshold, with the interval of the difference or of the value."""
    baseline, now, change = content.check_cells(check, unit)
    interval = _interval_text(check, unit)
    if check.difference is None:
        return baseline, f"{now}{interval}", change
    return baseline, now, f"{change}{interval}"


def _interval_text(check: Check, unit: str) -> str:
    """Return the interval of the difference, or of the value if there is no difference."""
    if check.low is None or check.high is None:
        return ""
    if check.difference is None:
        low, high = content.value_cell(check.low, unit), content.value_cell(check.high, unit)
    else:
        low, high = (
            content.change_cell(bound, unit).removesuffix(" pt")
            for bound in (check.low, check.high)
        )
    return f" ({low} to {high})"


def _run_details(report: Report) -> Iterator[str]:
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
