"""Turn the rows of a history into words: since when the newest result holds, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile, pairwise

from evalkit.compare.history import HistoryRow, HistoryThreshold
from evalkit.core.format import format_count
from evalkit.core.literals import Outcome
from evalkit.report.content import NO_VALUE, URGENCY, value_cell
from evalkit.report.history_points import (
    SeriesKey,
    SeriesPoint,
    build_point,
    rule_text,
)

OUTCOMES: dict[Outcome, str] = {
    "pass": "passed",
    "inconclusive": "were inconclusive",
    "undecided": "were undecided",
    "fail": "failed",
}
"""How runs of each outcome are counted."""

_STATES: dict[Outcome, str] = {
    "pass": "Passing",
    "fail": "Failing",
    "inconclusive": "Inconclusive",
    "undecided": "Undecided",
}
# The outcome that ends a streak; an inconclusive run between two failing ones does not.
_ENDS: dict[Outcome, Outcome] = {"pass": "fail", "fail": "pass"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One statistic over runs of one agent, oldest first; `rules` are its thresholds in the newest run."""

    title: str
    unit: str
    points: tuple[SeriesPoint, ...]
    rules: str = ""
    metric: str = ""

    @property
    def known(self) -> list[SeriesPoint]:
        """The points that have a value."""
        return [point for point in self.points if point.value is not None]

    @property
    def newest(self) -> SeriesPoint:
        """The newest point of a run that has a value, else of a baseline; an empty one if there is none."""
        runs = [point for point in self.known if not point.is_baseline]
        return (runs or self.known or [SeriesPoint()])[-1]

    def show(self, value: float | None) -> str:
        """Return a value in the unit of the series."""
        return value_cell(value, self.unit)

    @property
    def is_constant(self) -> bool:
        """Whether every run shows the same value."""
        return len({self.show(point.value) for point in self.known}) < 2

    @property
    def is_far_from_limit(self) -> bool:
        """Whether the values fill less than a twelfth of the way to their limit."""
        ends = [bound for point in self.known for bound in (point.value, point.low, point.high)]
        limits = [limit for point in self.known for limit in (point.lower, point.upper)]
        found = [value for value in ends if value is not None]
        marks = [limit for limit in limits if limit is not None]
        if not found or not marks:
            return False
        reach = max(*found, *marks) - min(*found, *marks)
        return 12 * (max(found) - min(found)) < reach and all(
            point.outcome in (None, "pass") for point in self.known
        )

    @property
    def range_text(self) -> str:
        """The smallest and the largest value."""
        values = [point.value for point in self.known if point.value is not None]
        texts = dict.fromkeys(map(self.show, (min(values), max(values)))) if values else [NO_VALUE]
        return " to ".join(texts)


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


def describe_runs(
    own: Sequence[HistoryRow], rows: Sequence[HistoryRow], agents: Mapping[str, str] | None = None
) -> str:
    """Return which of all rows those of one agent are, as an adjective and an end: `whole runs of bot.py`.

    It is just `runs` if they are all. `agents` has a shorter name for each agent.
    """
    runs = "whole runs" if any(row.selection for row in rows) else "runs"
    if not own or len({row.agent for row in rows}) < 2:
        return runs
    name = own[0].agent
    return f"{runs} of {(agents or {}).get(name, name) or 'no agent'}"


def summarize_history(rows: Sequence[HistoryRow], runs: str = "runs") -> tuple[str, str]:
    """Return since when the newest result holds, and then its reason and the count of each result.

    Args:
        rows: the rows of one agent, oldest first.
        runs: what they are, for a reader who sees others too; from `describe_runs`.
    """
    decided = [row for row in rows if row.result is not None]
    if not decided:
        return "No run has a gate result.", format_count(len(rows), "run") + "."
    outcomes = [row.result.outcome for row in decided if row.result is not None]
    outcome = outcomes[-1]
    counts = Counter(outcomes)
    if len(counts) == 1 and len(decided) > 1:
        which = "Both" if len(decided) == 2 else f"All {len(decided)}"
        return f"{which} {runs} {OUTCOMES[outcome]}.", _describe_newest(decided[-1])
    since, last = _find_streak(outcomes)
    first = _describe_streak(decided, since, last)
    parts = [f"{counts[each]} {OUTCOMES[each]}" for each in OUTCOMES if counts[each]]
    count = format_count(1, "run") if len(decided) == 1 else f"{len(decided):,} {runs}"
    total = f"Of {count}, {', '.join(parts)}."
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
    worst = _find_deciding(row)
    if worst is None or worst.outcome == "pass" or worst.value is None or worst.limit is None:
        return ""
    value, limit = (value_cell(each, worst.unit) for each in (worst.value, worst.limit))
    side = "most" if worst.is_upper else "least"
    return f"{worst.name} is {value}; at {side} {limit} is allowed."


def _find_deciding(row: HistoryRow) -> HistoryThreshold | None:
    """Return the worst threshold of a run that has a value, the primary one first among equals."""
    if row.result is None:
        return None
    enforced = [each for each in row.result.thresholds if each.value is not None and each.metric]
    return min(
        enforced,
        key=lambda each: (each.advisory, URGENCY.index(each.outcome), not each.primary),
        default=None,
    )


def build_series(rows: Sequence[HistoryRow]) -> list[Series]:
    """Return the series of one agent's rows: the one that decides the newest run, other thresholds, metrics."""
    keys: dict[SeriesKey, None] = {}
    decided = [row for row in reversed(rows) if row.result is not None]
    if decided and (deciding := _find_deciding(decided[0])) is not None:
        # The primary threshold is the headline, unless another one decides.
        primary = [each for each in _thresholds(decided[0]) if each.primary]
        first = deciding if deciding.outcome != "pass" or not primary else primary[0]
        keys[_key_of(first)] = None
    for row in decided:
        keys.update(dict.fromkeys(map(_key_of, _thresholds(row))))
    for metric in metric_names(rows):
        keys.setdefault(SeriesKey(metric, "mean", None))
    return [_build_one(key, rows) for key in keys]


def _thresholds(row: HistoryRow) -> Iterator[HistoryThreshold]:
    """Yield the thresholds of a row that compare a value."""
    for each in row.result.thresholds if row.result is not None else ():
        if each.metric and each.limit is not None:
            yield each


def _key_of(threshold: HistoryThreshold) -> SeriesKey:
    return SeriesKey(threshold.metric, threshold.stat, threshold.tag)


def _build_one(key: SeriesKey, rows: Sequence[HistoryRow]) -> Series:
    applied = [[each for each in _thresholds(row) if _key_of(each) == key] for row in rows]
    metrics = [row.find(key.metric, key.tag) for row in rows]
    units = [each.unit for found in applied for each in found]
    # A rate is a share, whatever the unit of the metric.
    units += ["" if key.stat == "rate" else each.unit for each in metrics if each is not None]
    newest = next((found for found in reversed(applied) if found), [])
    return Series(
        title=key.title,
        unit=units[-1] if units else "",
        points=tuple(
            build_point(key, found, metric)._replace(is_baseline=row.kind == "baseline")
            for row, found, metric in zip(rows, applied, metrics, strict=True)
        ),
        rules=", ".join(map(rule_text, newest)),
        metric=key.metric,
    )
