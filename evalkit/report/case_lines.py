"""Render the cases of a run that need attention: one line each, with the reason, and ids in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalkit.compare.case_changes import describe_case
from evalkit.core.format import format_count
from evalkit.core.literals import CaseStatus
from evalkit.core.run import Run
from evalkit.core.safe_text import cell_width, wrap
from evalkit.report import case_status
from evalkit.report.screen import Cell, Screen, Style, align_columns

STATUS_STYLES: dict[CaseStatus, Style] = {
    "regressed": "bad",
    "failing": "bad",
    "error": "warn",
    "flaky": "warn",
}

_MIN_REASON_COLUMNS = 22
_MAX_REASON_CHARS = 2000

_MAX_ID_CELLS = 500
"""No id of a person's set is this long; a longer one is cut to keep the output readable."""


def case_lines(
    results: Sequence[case_status.CaseResult], screen: Screen, most: int | None = None
) -> list[str]:
    """Return how many cases have each status, and the worst `most` cases that need attention.

    Without `most`, return all of them, each with its status.
    """
    broken = case_status.worst_first(results)
    shown = broken[:most]
    worst = f"; worst {len(shown)}:" if 0 < len(shown) < len(broken) else ""
    counts = case_status.status_counts_text(results)
    lines = screen.paint_start(screen.fold(f"Cases: {counts}{worst}", hang="  "), "Cases", "bold")
    # The line above starts with the worst status, so rows that all have it do not repeat it.
    labeled = (
        most is None
        or len({result.status for result in shown}) > 1
        or any(result.status not in case_status.BROKEN_STATUSES for result in shown)
    )
    lines += _rows(shown, screen, labeled=labeled)
    lines += _common_error(broken, lines, screen)
    return lines


def _rows(results: Sequence[case_status.CaseResult], screen: Screen, *, labeled: bool) -> list[str]:
    rows = [
        (
            Cell(result.label if labeled else "", STATUS_STYLES.get(result.status, "")),
            Cell(screen.show(result.case.id, _MAX_ID_CELLS)),
            Cell(case_status.passes_change(result.change)),
            Cell(_flatten(case_status.reason_text(result))),
        )
        for result in results
    ]
    widths = [max((cell_width(row[n].text) for row in rows), default=0) for n in range(3)]
    fixed = sum(widths) + 2 * sum(map(bool, widths)) + 2
    if fixed + _MIN_REASON_COLUMNS <= screen.columns:
        return align_columns(rows, screen, shrinkable={3: _MIN_REASON_COLUMNS})
    return [line for row in rows for line in _long_row(row, screen)]


def _flatten(reason: str) -> str:
    """Return a reason as one line; a newline in it would be shown as an escape."""
    return " ".join(reason[:_MAX_REASON_CHARS].split())


def _long_row(row: Sequence[Cell], screen: Screen) -> list[str]:
    """Return a row that does not fit on one line; the id is cut nowhere and may take several lines."""
    status, case_id, passes, reason = row
    first = "  ".join(filter(None, (status.text, case_id.text, passes.text)))
    lines = [f"  {first}"]
    if cell_width(first) + 2 > screen.columns:
        start = "  ".join(filter(None, (status.text, passes.text)))
        lines = screen.fold(start, indent="  ", hang="    ")
        lines += [f"    {part}" for part in wrap(case_id.text, screen.columns - 4)]
    if reason.text:
        lines.append(f"    {screen.show(reason.text, screen.columns - 4)}")
    return screen.paint_start(lines, status.text, status.style, indent="  ")


def _common_error(
    broken: Sequence[case_status.CaseResult], shown: Sequence[str], screen: Screen
) -> list[str]:
    """Return the most common error in full, unless a row already shows all of it."""
    reasons = Counter(
        case_status.reason_text(result) for result in broken if result.status == "error"
    )
    if not reasons:
        return []
    reason, cases = reasons.most_common(1)[0]
    whole = screen.show(_flatten(reason), _MAX_REASON_CHARS)
    if any(whole in line for line in shown):
        return []
    return screen.fold(
        f"Error of {format_count(cases, 'case')}: {reason}", indent="  ", hang="    "
    )


def find_never_passed(run: Run) -> list[case_status.CaseResult]:
    """Return the cases of which every trial failed, in the order of the run."""
    trials, due = case_status.group_by_case(run), run.header.planned_trials()
    found = []
    for case in run.header.cases:
        own = trials.get(case.id, ())
        result = case_status.CaseResult(
            case=case,
            change=describe_case(case, case_status.fill_row(own, due[case.id])),
            due=due[case.id],
            trials=own,
            base=(),
            breaks=(),
        )
        if result.status == "failing" and not any(trial.passed for trial in own):
            found.append(result)
    return found


def never_passed_lines(
    results: Sequence[case_status.CaseResult], cases: int, screen: Screen, most: int
) -> list[str]:
    """Return that these of the baseline's `cases` never passed, and `most` of them with their reasons."""
    if not results:
        return []
    more = f" The first {most}:" if len(results) > most else ""
    sentence = (
        f"{len(results)} of {format_count(cases, 'case')} passed no trial, so the gate cannot see them get "
        f"worse. Check what they expect, and what the agent answers.{more}"
    )
    return [*screen.fold(sentence, hang="  "), *_rows(results[:most], screen, labeled=False)]


def secondary_lines(results: Sequence[case_status.CaseResult], screen: Screen) -> list[str]:
    """Return a line for each status of cases that are not broken: flaky, failing as before, fixed."""
    lines = []
    for title, of_status in case_status.secondary_cases(results):
        names = case_status.cases_with_passes(of_status)
        lines += screen.fold(f"{title}: {names}", indent="  ", hang="    ")
    return lines
