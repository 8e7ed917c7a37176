"""Bring the sides of a comparison to the same days, and say what keeps them from being compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np

from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.traffic.gate_data import Traffic
from evalkit.traffic.periods import (
    WEEKDAYS,
    Period,
    describe_gaps,
    expected_days,
    find_gaps,
    find_missing_days,
    name_days,
)

_MIN_SHARED = 0.5
"""Two sides are compared on the same days if these have this share of the candidate's activity."""

_MAX_ALIKE = 0.1
"""The share of requests that may have the user and the exact time of one on the other side."""
_MIN_VOLUME = 0.3
"""With less of the usual traffic, that of an outage or of a lost export may be missing."""
_MAX_INCOMPLETE = 0.05
"""With so many more traces without a root, those of requests that crashed may be among them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Aligned:
    """The sides on the days that count. With a problem, no threshold that it concerns passes.

    `whole` is the candidate on all of its days, which limits are about. `problems` concern the candidate
    alone, and `comparison_problems` the comparison.
    """

    whole: Traffic
    candidate: Traffic
    earlier: tuple[Traffic, ...]
    is_concurrent: bool
    problems: tuple[str, ...]
    comparison_problems: tuple[str, ...]

    @property
    def has_mixed(self) -> bool:
        """Whether requests are left out because their session has several versions or variants."""
        return any(each.period.mixed for each in (self.candidate, *self.earlier))

    def include_mixed(self) -> Aligned:
        """Return the sides with these requests."""
        return replace(
            self,
            whole=self.whole.include_mixed(),
            candidate=self.candidate.include_mixed(),
            earlier=tuple(each.include_mixed() for each in self.earlier),
        )


def align(candidate: Traffic, earlier: Sequence[Traffic]) -> Aligned:
    """Choose the days to compare: the same days, or the same days of the week.

    Raises:
        InvalidInput: requests are on both sides.
    """
    _refuse_shared_requests([candidate, *earlier])
    shared = [
        day
        for day in candidate.period.days
        if any(day in other.period.activity for other in earlier)
    ]
    problems = [*_describe_missing(candidate.period)]
    if shared and _activity_on(candidate.period, shared) >= _MIN_SHARED:
        if len(earlier) > 1:
            raise InvalidInput.single(
                "several --against on the days of the candidate itself. Name one of them, or traffic of "
                "other days only."
            )
        kept = tuple(each.keep_days(shared) for each in earlier)
        return Aligned(
            whole=candidate,
            candidate=candidate.keep_days(shared),
            earlier=kept,
            is_concurrent=True,
            problems=tuple(problems),
            comparison_problems=(
                *_describe_unshared(candidate.period, kept[0].period),
                *_describe_losses(candidate.period, [each.period for each in kept]),
            ),
        )
    weekdays = {day.weekday() for day in expected_days(candidate.period)}
    kept = tuple(
        each.keep_days(
            [day for day in each.period.days if day.weekday() in weekdays and day not in shared]
        )
        for each in earlier
    )
    if earlier:
        problems += _describe_lacking(candidate.period, [each.period for each in earlier])
    gaps = find_gaps(candidate.period, [each.period for each in kept])
    known = set(find_missing_days(candidate.period))
    gaps = [gap for gap in gaps if gap.day not in known]
    if gaps:
        problems.append(describe_gaps(candidate.period, gaps))
    problems += _describe_losses(candidate.period, [each.period for each in kept])
    return Aligned(
        whole=candidate,
        candidate=candidate,
        earlier=kept,
        is_concurrent=False,
        problems=tuple(problems),
        comparison_problems=tuple(
            _describe_earlier(candidate.period, [each.period for each in kept])
        ),
    )


def _refuse_shared_requests(sides: Sequence[Traffic]) -> None:
    """Refuse sides with the same requests, also if they were imported under other ids."""
    known = [side.read_identities() for side in sides]
    for (one, these), (other, those) in combinations(zip(sides, known, strict=True), 2):
        fewest = min(one.period.requests, other.period.requests)
        common = np.intersect1d(these[0], those[0]).size
        alike = np.intersect1d(these[1], those[1]).size
        if common or alike > _MAX_ALIKE * fewest:
            count = format_count(max(common, alike), "request")
            raise InvalidInput.single(
                f"{count} of {one.period.label} {'is' if count == '1 request' else 'are'} also in "
                f"{other.period.label}, and traffic cannot be compared with itself. Name other traffic, or "
                f"two versions: --version v3 --against-version v2."
            )


def _activity_on(period: Period, days: Sequence[object]) -> float:
    total = sum(float(counts.sum()) for counts in period.activity.values())
    return sum(float(period.activity[day].sum()) for day in period.days if day in days) / total


def _name_weekdays(numbers: Iterator[int] | set[int]) -> str:
    return ", ".join(WEEKDAYS[number] for number in sorted(numbers))


def _describe_missing(period: Period) -> Iterator[str]:
    missing = find_missing_days(period)
    if missing:
        yield f"{period.label} has no request on {name_days(missing)}"


def _describe_lacking(candidate: Period, earlier: Sequence[Period]) -> Iterator[str]:
    """Yield the weekdays that only the others have, unless the user chose the days."""
    if candidate.selection.first or candidate.selection.last:
        return
    own = {day.weekday() for day in expected_days(candidate)}
    lacking = {day.weekday() for each in earlier for day in each.days} - own
    if lacking:
        first, last = candidate.days[0], candidate.days[-1]
        yield (
            f"{candidate.label} lacks {_name_weekdays(lacking)}, which the earlier traffic has. Import them, "
            f"or choose the days that it is meant to have: --days {first}..{last}"
        )


def _describe_losses(candidate: Period, earlier: Sequence[Period]) -> Iterator[str]:
    """Yield that requests of the candidate may have got lost, such as those that crashed."""
    total = sum(each.requests for each in earlier)
    days = sum(len(each.days) for each in earlier)
    usual = total / days * len(candidate.days) if days else 0.0
    is_whole = candidate.selection.version is None and candidate.selection.variant is None
    if is_whole and candidate.requests < _MIN_VOLUME * usual:
        yield (
            f"{candidate.label} has {format_count(candidate.requests, 'request')}, and {usual:,.0f} are usual "
            f"on so many days. Import what is missing"
        )
    before = sum(each.incomplete for each in earlier) / total if total else 0.0
    now = candidate.incomplete / candidate.requests
    if now > before + _MAX_INCOMPLETE:
        usual_text = f", and {before:.0%} before" if total else ""
        yield (
            f"{now:.0%} of the traces of {candidate.label} have no root{usual_text}. Import the files with the "
            f"missing spans"
        )


def _describe_unshared(candidate: Period, other: Period) -> Iterator[str]:
    """Yield the days of the candidate that the other side lacks, which the comparison leaves out."""
    lacking = [day for day in candidate.days if day not in other.activity]
    if lacking:
        shared = other.days
        yield (
            f"{other.label} has no request on {', '.join(map(str, lacking[:3]))}"
            f"{f' and {len(lacking) - 3} more days' if lacking[3:] else ''}. To compare only the days that "
            f"both have, choose them: --days {shared[0]}..{shared[-1]}"
        )


def _describe_earlier(candidate: Period, earlier: Sequence[Period]) -> Iterator[str]:
    own = {day.weekday() for day in candidate.days}
    for period in earlier:
        lacking = own - {day.weekday() for day in period.days}
        if lacking:
            yield f"{period.label} lacks {_name_weekdays(lacking)}"
        gaps = find_gaps(period, [candidate]) if period.days else []
        if gaps:
            yield describe_gaps(period, gaps)


def describe_immaturity(period: Period, maturity_h: float) -> str:
    """Return why feedback of a period is not complete yet; empty if it is.

    Feedback counts for `maturity_h` hours after a request, so it has to be imported after that time.
    """
    if not (period.imported and period.days):
        return ""
    day = period.days[-1]
    bins = np.flatnonzero(period.activity[day])
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
        minutes=10 * (int(bins[-1]) + 1)
    )
    ripe = end + timedelta(hours=maturity_h)
    imported = datetime.fromisoformat(period.imported)
    if imported >= ripe:
        return ""
    return (
        f"feedback counts for {maturity_h:g} h, and {period.label} was imported on "
        f"{imported:%Y-%m-%d %H:%M}. Import its feedback again after {ripe:%Y-%m-%d %H:%M} UTC"
    )
