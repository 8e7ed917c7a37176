"""Compare two versions or two arms of an experiment, with the tests of the gate on traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1, isfinite, log
from typing import TYPE_CHECKING

from evalkit.traffic.estimates import ALPHA, Facts, Part, estimate_cluster, to_estimate
from evalkit.traffic.measures import Measure, Stat
from evalkit.traffic.report_record import ArmComparison, ArmDifference, Direction

if TYPE_CHECKING:
    from evalkit.stats.clustered import ClusteredEstimate
    from evalkit.stats.distributions import Bools, Ints

MIN_USERS = 30
"""With fewer users on a side, nothing is said of a difference."""
_MOSTLY = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arm:
    """A version or an arm of an experiment, and which requests it has, shape (requests,)."""

    name: str
    chosen: Bools


def compare_arms(
    facts: Facts, by: str, arms: tuple[Arm, Arm], *, mixed: Bools, steps: Ints
) -> ArmComparison:
    """Compare two arms, measure by measure; the first one is the base.

    `mixed`, shape (requests,), are the requests of sessions with several versions, which are left out.
    `steps` has the step of the time axis of each request.
    """
    import numpy as np  # noqa: PLC0415

    base, candidate = arms
    is_left_out = mixed if by == "version" else np.zeros_like(mixed)
    # Users have the same codes on both sides, so that those on both count once.
    sides = [
        Part(
            chosen=(chosen := arm.chosen & ~is_left_out),
            index=np.flatnonzero(chosen),
            codes=None,
            user_count=facts.user_count,
        )
        for arm in arms
    ]
    tested = [(measure, stat) for measure in facts.measures for stat in measure.reported_stats]
    found = [_compare(facts, sides, measure, stat, len(tested)) for measure, stat in tested]
    seen = [np.bincount(facts.users[side.chosen], minlength=facts.user_count) > 0 for side in sides]
    return ArmComparison(
        by=by,
        base=base.name,
        candidate=candidate.name,
        differences=tuple(each for each in found if each is not None),
        shared_users=int(np.count_nonzero(seen[0] & seen[1])),
        mixed=int(np.count_nonzero((base.chosen | candidate.chosen) & is_left_out)),
        is_concurrent=_overlap(sides, steps) > _MOSTLY,
    )


def _overlap(sides: Sequence[Part], steps: Ints) -> float:
    """Return the share of the requests of two sides that fall into the same steps."""
    import numpy as np  # noqa: PLC0415

    count = int(steps.max()) + 1 if steps.size else 1
    shares = [np.bincount(steps[side.chosen], minlength=count) for side in sides]
    one, other = (share / max(float(share.sum()), 1.0) for share in shares)
    return float(np.minimum(one, other).sum())


def _compare(
    facts: Facts, sides: Sequence[Part], measure: Measure, stat: Stat, tests: int
) -> ArmDifference | None:
    """Return the difference; None if a side does not know the measure."""
    import numpy as np  # noqa: PLC0415

    before, after = (estimate_cluster(facts, side, measure, stat) for side in sides)
    if before is None or after is None:
        return None
    counts = [int(np.count_nonzero(facts.sizes[measure.name][side.index])) for side in sides]
    change, low, high = _bound(before, after, measure, ALPHA)
    # All measures are looked at together, so that a word needs more than one test needs (Bonferroni).
    strict = _bound(before, after, measure, ALPHA / tests)
    return ArmDifference(
        measure=measure.name,
        stat=stat,
        base=to_estimate(measure, stat, before, counts[0]),
        candidate=to_estimate(measure, stat, after, counts[1]),
        change=change,
        low=low,
        high=high,
        direction=_name_direction(measure, min(before.users, after.users), strict),
    )


def _bound(
    before: ClusteredEstimate, after: ClusteredEstimate, measure: Measure, alpha: float
) -> tuple[float | None, float | None, float | None]:
    """Return the change and its bounds: in points of a share, else as a share of the base."""
    from evalkit.stats.clustered import compare_estimates  # noqa: PLC0415

    is_log = measure.kind != "rate"
    interval = compare_estimates(after, before, alpha, is_log=is_log)
    if not is_log:
        return after.value - before.value, interval.low, interval.high
    if not (before.value > 0 and after.value > 0):
        return None, None, None
    low, high = (expm1(bound) if isfinite(bound) else None for bound in interval)
    return expm1(log(after.value / before.value)), low, high


def _name_direction(
    measure: Measure, users: int, bounds: tuple[float | None, float | None, float | None]
) -> Direction:
    _, low, high = bounds
    if users < MIN_USERS or (low is None and high is None):
        return "too little data"
    is_higher, is_lower = low is not None and low > 0, high is not None and high < 0
    if not (is_higher or is_lower):
        return "no difference shown"
    if not measure.better:
        return "changed"
    return "better" if is_higher == (measure.better == "higher") else "worse"
