"""Render the cases of a run that need attention: one line each, with the reason, and ids in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalkit.core.format import format_count
from evalkit.core.literals import CaseStatus
from evalkit.core.safe_text import cell_width
from evalkit.report import case_status
from evalkit.report.screen import Cell, Screen, Style, align_columns

STATUS_STYLES: dict[CaseStatus, Style] = {
    "regressed": "bad",
    "failing": "bad",
    "error": "warn",
    "flaky": "warn",
}

_MIN_REASON_COLUMNS = 22


def case_lines(results: Sequence[case_status.CaseResult], screen: Screen, most: int) -> list[str]:
    """Return how many cases have each status, and the worst `most` cases that need attention."""
    broken = case_status.worst_first(results)
    shown = broken[:most]
    worst = f"; worst {len(shown)}:" if 0 < len(shown) < len(broken) else ""
    counts = case_status.status_counts_text(results)
    lines = screen.paint_start(screen.fold(f"Cases: {counts}{worst}", hang="  "), "Cases", "bold")
    # The line above starts with the worst status, so rows that all have it do not repeat it.
    labeled = len({result.status for result in shown}) > 1 or (
        bool(shown) and shown[0].status not in case_status.BROKEN_STATUSES
    )
    lines += _rows(shown, screen, labeled=labeled)
    lines += _common_error(broken, lines, screen)
    return lines


def _rows(results: Sequence[case_status.CaseResult], screen: Screen, *, labeled: bool) -> list[str]:
    rows = [
        (
            Cell(result.label if labeled else "", STATUS_STYLES.get(result.status, "")),
            screen.show(result.case.id, len(result.case.id) * 8),
            case_status.passes_change(result.change),
            " ".join(case_status.reason_text(result).split()),
        )
        for result in results
    ]
    widths = [max((cell_width(str(row[n])) for row in rows), default=0) for n in (1, 2)]
    label = max((cell_width(row[0].text) + 2 for row in rows if row[0].text), default=0)
    if sum(widths) + label + 6 + _MIN_REASON_COLUMNS <= screen.columns:
        return align_columns(rows, screen, shrinkable={3: _MIN_REASON_COLUMNS})
    # Cut no id: the reason gets a line of its own.
    lines = []
    for status, case_id, passes, reason in rows:
        text = "  ".join(filter(None, (status.text, case_id, passes)))
        folded = screen.fold(text, indent="  ", hang="    ")
        lines += screen.paint_start(folded, status.text, status.style, indent="  ")
        lines += [f"    {screen.show(reason, screen.columns - 4)}"] if reason else []
    return lines


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
    if any(screen.show(reason, len(reason)) in line for line in shown):
        return []
    return screen.fold(
        f"Error of {format_count(cases, 'case')}: {reason}", indent="  ", hang="    "
    )


def secondary_lines(results: Sequence[case_status.CaseResult], screen: Screen) -> list[str]:
    """Return a line for each status of cases that are not broken: flaky, failing as before, fixed."""
    lines = []
    for title, of_status in case_status.secondary_cases(results):
        names = case_status.cases_with_passes(of_status)
        lines += screen.fold(f"{title}: {names}", indent="  ", hang="    ")
    return lines
