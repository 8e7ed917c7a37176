"""Select the requests of a period from stored traffic, and find days and hours that it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from evalkit.core.format import format_count

if TYPE_CHECKING:
    from evalkit.stats.distributions import Floats

BINS = 144
"""Each day in parts of ten minutes."""

MIN_EXPECTED_USERS = 20.0
"""As many users are expected in a gap. By chance, not one of 20 expected ones comes once in 500 million."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficFilter:
    """Which requests of a store count; None means any.

    `first` and `last` are days in UTC, both included. The version `unversioned` has the requests without one.
    """

    version: str | None = None
    variant: str | None = None
    environment: str | None = None
    first: date | None = None
    last: date | None = None

    def __str__(self) -> str:
        words = [word for word in (self.version, self.variant, self.environment) if word]
        days = f"{self.first} to {self.last}" if self.first and self.last else ""
        return ", ".join([*words, *([days] if days else [])])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Period:
    """The requests of one side of a comparison, by day.

    `activity` has for each day the number of users by part of the day, shape (BINS,). `unknown_users` are
    the requests whose user is unknown, `top_share` is the share of the requests of the most active user,
    `incomplete` are traces without their root, and `mixed` are the requests left out because their session has several versions. `left_out` are those
    of days that the other side lacks. `store_days` are the days with any request in the store, and `retried`
    the failed attempts that are not counted because their client repeated them. `imported` is the time of
    the last import, in ISO 8601, and `keys` identify the keys of the pseudonyms.
    """

    name: str
    selection: TrafficFilter
    activity: Mapping[date, Floats]
    requests: int
    users: int
    unknown_users: int = 0
    top_share: float = 0.0
    mixed: int = 0
    imported: str = ""
    sampled: int = 0
    incomplete: int = 0
    left_out: int = 0
    store_days: frozenset[date] = frozenset()
    retried: int = 0
    keys: frozenset[str] = frozenset()

    @property
    def days(self) -> list[date]:
        """The days with requests, in order."""
        return sorted(self.activity)

    @property
    def label(self) -> str:
        """The name of the traffic and what was selected of it."""
        chosen = str(self.selection)
        return f"{self.name} ({chosen})" if chosen else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A part of a day without a request, in which `expected` users were to be expected."""

    day: date
    start: int
    end: int
    expected: float

    def __str__(self) -> str:
        day = f"{WEEKDAYS[self.day.weekday()]} {self.day}"
        if (self.start, self.end) == (0, BINS):
            return day
        return f"{day} {_clock(self.start)} to {_clock(self.end)}"


def _clock(index: int) -> str:
    return f"{index // 6:02}:{index % 6 * 10:02}"


def list_days(first: date, last: date) -> list[date]:
    """Return the days from the first to the last, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def expected_days(period: Period) -> list[date]:
    """Return the days that a period is meant to have: those selected, else from the first to the last."""
    days = period.days
    first, last = period.selection.first or days[0], period.selection.last or days[-1]
    return list_days(first, last)


def name_days(days: Sequence[date]) -> str:
    """Return the first days by name, and the number of the others."""
    named = ", ".join(f"{WEEKDAYS[day.weekday()]} {day}" for day in days[:3])
    return f"{named} and {len(days) - 3} more" if len(days) > 3 else named


def find_missing_days(period: Period) -> list[date]:
    """Return the days within a period on which its store has no request at all."""
    return [day for day in expected_days(period) if day not in period.store_days]


def find_gaps(period: Period, others: Sequence[Period]) -> list[Gap]:
    """Return the parts of days without a request in which the same weekdays of other periods have many users.

    The numbers of the others are scaled to the users of this period on all weekdays that both have.
    """
    typical = _typical_activity(others)
    own = _typical_activity([period])
    shared = own.keys() & typical.keys()
    total = sum(float(typical[weekday].sum()) for weekday in shared)
    if not total:
        return []
    scale = sum(float(own[weekday].sum()) for weekday in shared) / total
    return [
        gap
        for day in expected_days(period)
        if day.weekday() in typical
        for gap in _list_gaps(day, period.activity.get(day), typical[day.weekday()] * scale)
    ]


def _typical_activity(periods: Sequence[Period]) -> dict[int, Floats]:
    """Return the mean number of users by weekday and part of the day."""
    found: dict[int, list[Floats]] = {}
    for period in periods:
        for day, counts in period.activity.items():
            found.setdefault(day.weekday(), []).append(counts)
    return {weekday: sum(rows[1:], rows[0]) / len(rows) for weekday, rows in found.items()}


def _list_gaps(day: date, counts: Floats | None, expected: Floats) -> Iterator[Gap]:
    start: int | None = None
    for index in range(BINS + 1):
        is_empty = index < BINS and (counts is None or not counts[index])
        if is_empty and start is None:
            start = index
        elif not is_empty and start is not None:
            total = float(expected[start:index].sum())
            if total >= MIN_EXPECTED_USERS:
                yield Gap(day=day, start=start, end=index, expected=total)
            start = None


def describe_gaps(period: Period, gaps: Sequence[Gap], most: int = 3) -> str:
    """Return the gaps of a period in a sentence, the first few by name."""
    named = ", ".join(map(str, gaps[:most]))
    more = f", and {format_count(len(gaps) - most, 'further gap')}" if len(gaps) > most else ""
    users = round(sum(gap.expected for gap in gaps))
    return f"{period.label} has no request on {named}{more}, when about {users:,} users were to be expected"
