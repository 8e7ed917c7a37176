"""Compare a measure of one period with earlier ones, by weekday or by day, with users as clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from evalkit.core.errors import Undecidable
from evalkit.core.format import format_count
from evalkit.stats.clustered import (
    MIN_BEYOND_QUANTILE,
    ClusteredEstimate,
    Records,
    compare_estimates,
    estimate_quantile,
    estimate_ratio,
    predict_period,
)
from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.intervals import Interval

MIN_USERS = 30
"""The fewest users of a side, and of each weekday that is weighted by itself."""

MIN_EFFECTIVE_USERS = 10.0
"""Fewer users count if most of the requests are from a handful of them."""

Strata: TypeAlias = Literal["day", "weekday", "weekend", "none"]


class UserDays(NamedTuple):
    """A measure by user and day, or by request for a quantile; all arrays of shape (rows,).

    `users` are hashes, `days` are ordinals. `values` and `sizes` are as in `Records`.
    """

    users: Ints
    days: Ints
    values: Floats
    sizes: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistic:
    """What is estimated: a ratio if `level` is None, else that quantile.

    `is_share` says that it is a share from 0 to 1, whose changes are in points. Other changes are by the
    logarithm, as a share of the value before.
    """

    is_share: bool
    level: float | None = None

    def estimate(self, records: Records, weights: Floats | None = None) -> ClusteredEstimate | None:
        """Return the estimate; None if there are no records."""
        if self.level is None:
            return estimate_ratio(records, weights, is_share=self.is_share)
        return estimate_quantile(records, self.level, weights)

    @property
    def fewest_users(self) -> int:
        """The users that an estimate needs."""
        if self.level is None:
            return MIN_USERS
        beyond = round(MIN_BEYOND_QUANTILE / min(self.level, 1 - self.level))
        return max(MIN_USERS, beyond)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A measure in a period and in the earlier ones, both with the same mix of days.

    `bounds` returns the interval of the change, in points of a share or else of the logarithm, whose
    bounds are each wrong with probability at most alpha. `periods` are the values of the earlier ones.
    `shared_users` are on both sides.
    """

    candidate: ClusteredEstimate
    base: ClusteredEstimate
    bounds: Callable[[float], Interval]
    periods: tuple[float, ...]
    strata: Strata
    shared_users: int


def require_users(side: UserDays, statistic: Statistic, where: str) -> None:
    """Check that a side has enough users for a statistic.

    Raises:
        Undecidable: it has too few, or nearly all requests are from a few of them.
    """
    users, codes = np.unique(side.users[side.sizes > 0], return_inverse=True)
    what = "the measure is unknown for every request" if not users.size else "too little data"
    if users.size < statistic.fewest_users:
        share = "" if statistic.level is None else f" for p{100 * statistic.level:g}"
        found = format_count(users.size, "user")
        raise Undecidable(
            f"{what}: {found} in {where}, and at least {statistic.fewest_users:,} are needed{share}"
        )
    sizes = np.bincount(codes, weights=side.sizes[side.sizes > 0])
    effective = float(sizes.sum()) ** 2 / float(np.sum(sizes**2))
    if effective < MIN_EFFECTIVE_USERS:
        raise Undecidable(
            f"too little data: {float(sizes.max() / sizes.sum()):.0%} of the requests in {where} are from "
            f"one user, so that its {users.size:,} users count for {effective:.1f}"
        )


def compare_periods(
    candidate: UserDays, earlier: Sequence[UserDays], statistic: Statistic, *, is_concurrent: bool
) -> Compared:
    """Compare a period with earlier ones, or with another group of users on the same days.

    Each earlier period counts equally, and its days are weighted as those of the candidate. If there are
    several, the interval also covers how much they differ among themselves.

    Raises:
        Undecidable: a side has too few users, or a day of the candidate is missing on the other.
    """
    levels: tuple[Strata, ...] = (
        ("day", "none") if is_concurrent else ("weekday", "weekend", "none")
    )
    sides = [candidate, *earlier]
    _, codes = np.unique(np.concatenate([side.users for side in sides]), return_inverse=True)
    parts = np.split(codes.astype(np.int64), np.cumsum([side.users.size for side in sides])[:-1])
    user_count = int(codes.max()) + 1 if codes.size else 0
    strata = next(level for level in levels if level == "none" or _is_filled(sides, level))
    first = min(int(side.days.min()) for side in sides if side.days.size)
    records = [
        Records(
            users=users,
            strata=_strata_of(side.days, strata, first),
            values=side.values,
            sizes=side.sizes,
            user_count=user_count,
        )
        for side, users in zip(sides, parts, strict=True)
    ]
    count = max(int(each.strata.max()) for each in records if each.strata.size) + 1
    weights = np.bincount(records[0].strata, weights=records[0].sizes, minlength=count)
    weights = weights / weights.sum()
    now = statistic.estimate(records[0], weights)
    before = statistic.estimate(
        _stack(records[1:], count), np.tile(weights, len(earlier)) / len(earlier)
    )
    singles = [statistic.estimate(each, weights) for each in records[1:]]
    if now is None or before is None or any(each is None for each in singles):
        raise Undecidable(
            "a day of the week has no value of it on one side, so the sides cannot be compared"
        )
    is_log = not statistic.is_share
    periods = tuple(each.value for each in singles if each is not None)
    return Compared(
        candidate=now,
        base=before,
        bounds=_bound_change(now, before, periods, is_log=is_log),
        periods=periods,
        strata=strata,
        shared_users=np.intersect1d(parts[0], np.concatenate(parts[1:])).size,
    )


def _bound_change(
    now: ClusteredEstimate, before: ClusteredEstimate, periods: Sequence[float], *, is_log: bool
) -> Callable[[float], Interval]:
    """Return the interval of the change: by users, and at least by how much the periods differ."""

    def bounds(alpha: float) -> Interval:
        by_users = compare_estimates(now, before, alpha, is_log=is_log)
        if len(periods) < 2:
            return by_users
        if is_log and not (now.value > 0 and min(periods) > 0):
            return Interval(-inf, inf)
        values = [log(each) if is_log else each for each in (now.value, *periods)]
        by_period = predict_period(values[0], np.array(values[1:]), alpha, is_share=not is_log)
        return Interval(min(by_users.low, by_period.low), max(by_users.high, by_period.high))

    return bounds


def _strata_of(days: Ints, strata: Strata, first: int) -> Ints:
    # The ordinal 1 is a Monday.
    weekday = (days + 6) % 7
    codes = {
        "day": days - first,
        "weekday": weekday,
        "weekend": (weekday >= 5).astype(np.int64),
        "none": np.zeros_like(days),
    }
    return codes[strata]


def _is_filled(sides: Sequence[UserDays], strata: Strata) -> bool:
    """Return whether each stratum of the candidate has enough users on every side."""
    first = min(int(side.days.min()) for side in sides if side.days.size)
    counts = []
    for side in sides:
        known = side.sizes > 0
        codes = _strata_of(side.days[known], strata, first)
        pairs = np.unique(np.stack([codes, side.users[known].view(np.int64)]), axis=1)
        counts.append(dict(zip(*np.unique(pairs[0], return_counts=True), strict=True)))
    return all(counts[0].keys() <= each.keys() for each in counts[1:]) and all(
        each[code] >= MIN_USERS for code in counts[0] for each in counts
    )


def _stack(periods: Sequence[Records], count: int) -> Records:
    """Return several periods as one, with strata of their own."""
    return Records(
        users=np.concatenate([each.users for each in periods]),
        strata=np.concatenate([each.strata + count * n for n, each in enumerate(periods)]),
        values=np.concatenate([each.values for each in periods]),
        sizes=np.concatenate([each.sizes for each in periods]),
        user_count=periods[0].user_count,
    )


def is_bounded(interval: Interval) -> bool:
    """Return whether both bounds are known."""
    return isfinite(interval.low) and isfinite(interval.high)


def whole_records(side: UserDays) -> Records:
    """Return the records of a side without strata."""
    _, users = np.unique(side.users, return_inverse=True)
    return Records(
        users=users.astype(np.int64),
        strata=np.zeros(users.size, dtype=np.int64),
        values=side.values,
        sizes=side.sizes,
        user_count=int(users.max()) + 1 if users.size else 0,
    )
