"""Turn the rows of a history into words: since when the newest result holds, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import dropwhile, pairwise

from evalkit.compare.history import HistoryRow, HistoryThreshold
from evalkit.core.format import format_count
from evalkit.core.literals import Outcome
from evalkit.report.content import value_cell

OUTCOMES: dict[Outcome, str] = {
    "pass": "passed",
    "inconclusive": "were inconclusive",
    "undecided": "were undecided",
    "fail": "failed",
}
"""How runs of each outcome are counted."""

WORST_FIRST: tuple[Outcome, ...] = ("fail", "undecided", "inconclusive", "pass")
"""The order of outcomes in which the worst of several counts."""
_STATES: dict[Outcome, str] = {
    "pass": "Passing",
    "fail": "Failing",
    "inconclusive": "Inconclusive",
    "undecided": "Undecided",
}
# The outcome that ends a streak; an inconclusive run between two failing ones does not.
_ENDS: dict[Outcome, Outcome] = {"pass": "fail", "fail": "pass"}


def list_definition_changes(rows: Sequence[HistoryRow]) -> tuple[str, ...]:
    """Return what differs in each row from the row before: set, judge, both, or nothing."""
    changes = [""]
    for before, after in pairwise(rows):
        changed = [
            word
            for word, name in (("set", "definition"), ("judge", "judge"))
            if getattr(before, name) != getattr(after, name)
        ]
        changes.append(" and ".join(changed))
    # Without rows there is no first row.
    return tuple(changes[: len(rows)])


def metric_names(rows: Sequence[HistoryRow]) -> list[str]:
    """Return the metrics of all rows, those of the newest row first."""
    found = (each.metric for row in reversed(rows) for each in row.metrics if each.tag is None)
    return list(dict.fromkeys(found))


def group_by_agent(rows: Sequence[HistoryRow]) -> dict[str, list[HistoryRow]]:
    """Return the rows of each agent, oldest first; the agent of the newest run is first.

    Runs of some cases only are left out, because their values are of other cases.
    """
    groups: dict[str, list[HistoryRow]] = {}
    for row in reversed(rows):
        if not row.selection:
            groups.setdefault(row.agent, []).insert(0, row)
    return groups


def version_name(row: HistoryRow) -> str:
    """Return the version of a row, or its id if it has none."""
    return row.version or row.id


def day_text(created: str) -> str:
    """Return a date as `Nov 18`; what is no date is returned as it is."""
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created[:10]
    return f"{when:%b} {when.day}"


def minute_text(created: str) -> str:
    """Return a time as `Nov 18, 09:44`, in UTC as it is stored."""
    return f"{day_text(created)}, {created[11:16]}" if len(created) >= 16 else created


def summarize_history(rows: Sequence[HistoryRow]) -> tuple[str, str]:
    """Return since when the newest result holds, and then its reason and the count of each result.

    Args:
        rows: the rows of one agent, oldest first.
    """
    decided = [row for row in rows if row.result is not None]
    if not decided:
        return "No run has a gate result.", format_count(len(rows), "run") + "."
    outcomes = [row.result.outcome for row in decided if row.result is not None]
    outcome = outcomes[-1]
    counts = Counter(outcomes)
    if len(counts) == 1 and len(decided) > 1:
        which = "Both" if len(decided) == 2 else f"All {len(decided)}"
        return f"{which} runs {OUTCOMES[outcome]}.", _describe_newest(decided[-1])
    since, last = _find_streak(outcomes)
    first = _describe_streak(decided, since, last)
    parts = [f"{counts[each]} {OUTCOMES[each]}" for each in OUTCOMES if counts[each]]
    total = f"Of {format_count(len(decided), 'run')}, {', '.join(parts)}."
    return f"{first}.", " ".join(filter(None, (_describe_newest(decided[-1]), total)))


def _describe_streak(decided: Sequence[HistoryRow], since: int, last: int | None) -> str:
    """Return since when the newest outcome holds, and the last run before with the other outcome."""
    outcomes = [row.result.outcome for row in decided if row.result is not None]
    state, start = _STATES[outcomes[-1]], decided[since]
    if len(decided) == 1:
        return f"{state} in the only run, {version_name(start)}, {day_text(start.created)}"
    before = decided[last] if last is not None else None
    # On one day, only the time says which run was first.
    is_same_day = before is not None and day_text(before.created) == day_text(start.created)
    when = minute_text if is_same_day else day_text
    found = f"{state} since {version_name(start)}, {when(start.created)}"
    if before is not None:
        word = "FAIL" if outcomes[-1] == "pass" else "PASS"
        return f"{found}; last {word} {version_name(before)}, {when(before.created)}"
    return found if outcomes[-1] == "pass" else f"{found}; no run has passed"


def _find_streak(outcomes: Sequence[Outcome]) -> tuple[int, int | None]:
    """Return where the newest outcome began, and the newest run that passed (or failed, if it passes)."""
    newest = outcomes[-1]
    wanted = _ENDS.get(newest, "pass")
    before = [index for index, each in enumerate(outcomes) if each == wanted]
    last = before[-1] if before else None
    # A streak of open results ends at any other result.
    breaks = before if newest in _ENDS else [n for n, each in enumerate(outcomes) if each != newest]
    start = breaks[-1] + 1 if breaks else 0
    return next(dropwhile(lambda n: outcomes[n] != newest, range(start, len(outcomes)))), last


def _describe_newest(row: HistoryRow) -> str:
    """Return how far the threshold that decided the newest run is from its limit; empty if it passed."""
    worst = find_deciding(row)
    if worst is None or worst.outcome == "pass" or worst.value is None or worst.limit is None:
        return ""
    value, limit = (value_cell(each, worst.unit) for each in (worst.value, worst.limit))
    side = "most" if worst.is_upper else "least"
    return f"{worst.name} is {value}; at {side} {limit} is allowed."


def find_deciding(row: HistoryRow) -> HistoryThreshold | None:
    """Return the worst threshold of a run that has a value, the primary one first among equals."""
    if row.result is None:
        return None
    enforced = [each for each in row.result.thresholds if each.value is not None and each.metric]
    return min(
        enforced,
        key=lambda each: (each.advisory, WORST_FIRST.index(each.outcome), not each.primary),
        default=None,
    )
