"""A judged run as the comment of a pull request: the verdict, what broke, what to do; details folded.

The first line is a mark that readers do not see and by which the comment of a set is found again. Data
stands in it as a digest only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from evalkit.digest import digest
from evalkit.records import Run, Trial
from evalkit.reports.facts import checks_by_urgency, outcome_word, reason_words, unit_of
from evalkit.reports.markdown import (
    COMMENT_LIMIT,
    Block,
    and_more,
    cases_block,
    code,
    code_cell,
    fit_blocks,
    fold,
    folded_blocks,
    gate_block,
    headline,
    next_block,
    plain_cell,
    sentence,
    table,
    unsaid_block,
)
from evalkit.reports.numbers import allowed_text, change_text, check_texts, value_text
from evalkit.reports.report import Report
from evalkit.reports.standing import BROKEN, CaseResult, case_results
from evalkit.spelling import count_of, name_rule
from evalkit.verdict import Check

_MOST_THRESHOLDS = 10
_LATE_DAYS = 60
_URL = re.compile(r"https?://[A-Za-z0-9.:/_-]{1,300}")


class Comment(NamedTuple):
    """A comment: its text, the mark it begins with, and whether it tells of any change."""

    text: str
    mark: str
    is_news: bool


def write_comment(report: Report, *, details: str = "") -> Comment:
    """The comment on a judged run; `details` is the address of the run that made it."""
    results = case_results(report)
    mark = mark_of(report.run.header.evalset_path, report.run.header.evalset)
    return Comment(
        text=f"{mark}\n{fit_blocks(_blocks(report, results, details), COMMENT_LIMIT - len(mark) - 1)}",
        mark=mark,
        is_news=_is_news(report, results),
    )


def mark_of(path: str, name: str) -> str:
    """The line by which the comment of a set is found again."""
    return f"<!-- evalkit:{digest([path, name])} -->"


def _is_news(report: Report, results: Sequence[CaseResult]) -> bool:
    """Whether somebody wants to know: the gate did not pass or was edited, or a case changed."""
    told = {*BROKEN, "flaky", "fixed", "not_run"}
    verdict = report.verdict
    edited = verdict.gate is not None and bool(verdict.gate.changes)
    return verdict.outcome != "pass" or edited or any(r.standing in told for r in results)


def _blocks(report: Report, results: Sequence[CaseResult], details: str) -> list[Block]:
    """The parts in the order of reading."""
    url = f"Run and reports: {details}" if _URL.fullmatch(details) else ""
    return [
        Block(0, headline(report)),
        Block(0, sentence(reason_words(report.verdict))),
        Block(1, gate_block(report)),
        Block(1, _thresholds(report)),
        Block(2, cases_block(report, results)),
        Block(1, "\n".join(_circumstances(report))),
        Block(2, next_block(report)),
        Block(1, url),
        Block(3, fold("Other thresholds", [unsaid_block(report.verdict)])),
        *folded_blocks(report, results),
    ]


def _thresholds(report: Report) -> str:
    rows = []
    for check in checks_by_urgency(report.verdict)[:_MOST_THRESHOLDS]:
        unit = unit_of(report, check)
        baseline, now, change = check_texts(check, unit)
        interval = _interval_text(check, unit)
        if check.difference is None:
            now += interval
        else:
            change += interval
        cells = map(plain_cell, (baseline, now, change, allowed_text(check.rule, unit)))
        rows.append((outcome_word(check), code_cell(name_rule(check.rule)), *cells))
    titles = ("Result", "Threshold", "Baseline", "This change", "Difference", "Allowed")
    left_out = and_more(len(report.verdict.checks) - _MOST_THRESHOLDS, report)
    return "\n\n".join(filter(None, (table(titles, rows, right=frozenset({2, 3, 4})), left_out)))


def _interval_text(check: Check, unit: str) -> str:
    """The interval of what a threshold decides on: the difference, or the value where none is taken."""
    if check.low is None or check.high is None:
        return ""
    if check.difference is None:
        low, high = value_text(check.low, unit), value_text(check.high, unit)
    else:
        low, high = (
            change_text(bound, unit).removesuffix(" pt") for bound in (check.low, check.high)
        )
    return f" ({low} to {high})"


def _circumstances(report: Report) -> Iterable[str]:
    """Of which version this is told, what it cost, how long answers took, and how old the baseline is."""
    run, base = report.run, report.baseline
    size = f"{count_of(len(run.header.cases), 'case')} x {count_of(run.header.trials, 'trial')}"
    parts = [f"version {code(run.header.agent_version or 'unversioned')}, {size}"]
    if (cost := _cost_text(run, base)) is not None:
        parts.append(cost)
    if (time := _time_text(run, base)) is not None:
        parts.append(time)
    yield f"**This change:** {'; '.join(parts)}."
    if base is None:
        yield "**Baseline:** none."
        return
    age = age_in_days(base.header.created, run.header.created)
    words = "" if age is None else f", {count_of(age, 'day')} old"
    stale = (
        " Record it again: an old one hides what changed since." if (age or 0) >= _LATE_DAYS else ""
    )
    trials = count_of(base.header.trials, "trial")
    yield (
        f"**Baseline:** version {code(base.header.agent_version or 'unversioned')}, "
        f"{trials} a case{words}.{stale}"
    )


def _cost_text(run: Run, base: Run | None) -> str | None:
    now, before = _costs(run.trials), _costs(base.trials if base else ())
    if not now:
        return None
    each = value_text(sum(now) / len(now), "usd")
    was = f", {value_text(sum(before) / len(before), 'usd')} in the baseline" if before else ""
    return f"cost {value_text(sum(now), 'usd')} ({each} a trial{was})"


def _costs(trials: Iterable[Trial]) -> list[float]:
    return [trial.output.cost_usd for trial in trials if trial.output.cost_usd is not None]


def _time_text(run: Run, base: Run | None) -> str | None:
    now, before = _middle_latency(run.trials), _middle_latency(base.trials if base else ())
    if now is None:
        return None
    was = f" ({value_text(before, 's')} in the baseline)" if before is not None else ""
    return f"half of the answers within {value_text(now, 's')}{was}"


def _middle_latency(trials: Iterable[Trial]) -> float | None:
    times = sorted(trial.output.latency_s for trial in trials if trial.output.error is None)
    return times[len(times) // 2] if times else None


def age_in_days(then: str, now: str) -> int | None:
    """Whole days between two stored times; None where one of them is no time.

    >>> age_in_days("2026-11-01T12:00:00Z", "2026-11-22T16:54:01Z")
    21
    """
    try:
        days = (datetime.fromisoformat(now) - datetime.fromisoformat(then)).days
    except (ValueError, TypeError):
        return None
    return max(days, 0)
