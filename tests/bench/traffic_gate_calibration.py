"""How often the comparison of traffic finds a change where there is none, and one that there is.

A population of users, some much more active than others, sends requests in a week to be tested and in
earlier weeks; weekdays differ in volume and in rates, and each week has an effect of its own (`noise`, on
the logit or the logarithm). Half of the users of one week are in another. `worse` and `better` are the
shares of draws in which the one-sided interval at alpha 5 % excludes no change although there is none;
`power` is the share that finds a real rise. A z test of requests stands beside it. `missed` is the share
of the 90 % intervals of one week's own value that do not hold the mean over all draws.

    python -m tests.bench.traffic_gate_calibration --draws 1000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from math import sqrt

import numpy as np

from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule
from evalkit.stats.clustered import Records
from evalkit.traffic.compared import (
    Statistic,
    UserDays,
    compare_periods,
    require_users,
    whole_records,
)
from evalkit.traffic.gate_checks import check_rules
from evalkit.traffic.gate_records import RuleData, Side
from evalkit.traffic.measures import MEASURES
from tests.bench.measuring import print_table
from tests.support.simulated_traffic import Population

ALPHA = 0.05
Z = 1.645
ACTIVE = 0.67
"""The share of the users who are active in a week."""
HARMS = {"rate": 0.5, "mean": 0.15, "p50": 0.15, "p95": 0.25}
"""The rise to be found, on the logit or the logarithm."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What traffic is like, and how many earlier weeks there are."""

    kind: str
    rate: float = 0.1
    users: int = 800
    weeks: int = 1
    noise: float = 0.0
    shifted: bool = False
    heaviness: float = 1.2

    @property
    def statistic(self) -> Statistic:
        """The statistic that is compared."""
        level = {"p50": 0.5, "p95": 0.95}.get(self.kind)
        return Statistic(is_share=self.kind == "rate", level=level)


WORLDS = (
    *(World(kind="rate", rate=rate, users=users) for rate, users in product((0.02, 0.1, 0.5, 0.97), (200, 800))),
    World(kind="rate", shifted=True),
    World(kind="rate", heaviness=1.8),
    *(World(kind=kind, shifted=True) for kind in ("mean", "p50", "p95")),
    *(World(kind=kind, heaviness=1.8) for kind in ("mean", "p95")),
    *(World(kind=kind, noise=0.2, weeks=weeks) for kind, weeks in product(("rate", "mean"), (1, 2, 3, 4, 8))),
    *(World(kind="rate", weeks=weeks) for weeks in (2, 4, 8)),
)  # fmt: skip


@dataclass
class Counts:
    """What was found in the draws of a world."""

    draws: int = 0
    worse: int = 0
    better: int = 0
    found: int = 0
    by_requests: int = 0
    too_few: int = 0
    weeks: list[tuple[float, float, float]] = field(default_factory=list)
    """The value of each week with its bounds."""

    @property
    def missed(self) -> int:
        """The number of intervals that do not hold the mean value."""
        mean = float(np.mean([value for value, _, _ in self.weeks]))
        return sum(not low <= mean <= high for _, low, high in self.weeks)


def measure_world(world: World, draws: int, seed: int) -> Counts:
    """Draw a world many times, without and with a change."""
    rng = np.random.default_rng(seed)
    counts = Counts()
    for _ in range(draws):
        population = Population.draw(
            rng, users=world.users, rate=world.rate, heaviness=world.heaviness
        )
        earlier = [_draw(rng, population, world, week) for week in range(world.weeks)]
        same = _draw(rng, population, replace(world, shifted=False), world.weeks)
        changed = _draw(rng, population, world, world.weeks, harm=HARMS[world.kind])
        counts.draws += 1
        try:
            for side in (same, *earlier):
                require_users(side, world.statistic, "a week")
            found = compare_periods(same, earlier, world.statistic, is_concurrent=False)
        except Undecidable:
            counts.too_few += 1
            continue
        alone = world.statistic.estimate(whole_records(same))
        if alone is not None:
            counts.weeks.append((alone.value, *alone.bounds(ALPHA)))
        low, high = found.bounds(ALPHA)
        counts.worse += low > 0
        counts.better += high < 0
        counts.by_requests += _differs_by_requests(same, earlier)
        changed_found = compare_periods(changed, earlier, world.statistic, is_concurrent=False)
        counts.found += changed_found.bounds(ALPHA).low > 0
    return counts


def _draw(
    rng: np.random.Generator, population: Population, world: World, week: int, *, harm: float = 0.0
) -> UserDays:
    records = population.draw_week(
        rng, world.kind, active=ACTIVE, shifted=world.shifted, noise=world.noise, harm=harm
    )
    return to_user_days(records, week)


def to_user_days(records: Records, week: int) -> UserDays:
    """Return the records of a week with weekdays as days, the first of which is a Monday."""
    return UserDays(
        users=records.users.astype(np.uint64),
        days=records.strata + 7 * week + 1,
        values=records.values,
        sizes=records.sizes,
    )


def _differs_by_requests(candidate: UserDays, earlier: list[UserDays]) -> bool:
    """Return whether a z test of requests finds a rise."""
    old = np.concatenate([each.values for each in earlier])
    error = sqrt(candidate.values.var() / candidate.values.size + old.var() / old.size)
    return bool(candidate.values.mean() - old.mean() > Z * error)


def count_failed_gates(draws: int, *, thresholds: int = 5, weeks: int = 1, seed: int = 3) -> int:
    """Return how many gates of several thresholds fail although nothing changed."""
    rng = np.random.default_rng(seed)
    world = World(kind="rate", users=400)
    failed = 0
    for _ in range(draws):
        datas = []
        for number in range(thresholds):
            population = Population.draw(rng, users=world.users, rate=world.rate)
            earlier = [_draw(rng, population, world, week) for week in range(weeks)]
            rule = Rule(metric=f"m{number}", max_rise=0.0, margin=0.05)
            candidate, *others = (
                Side(label="", data=side, requests=1, known=1, users=world.users)
                for side in (_draw(rng, population, world, weeks), *earlier)
            )
            datas.append(
                RuleData(rule=rule, measure=MEASURES[0], candidate=candidate, earlier=tuple(others))
            )
        failed += any(each.check.outcome == "fail" for each in check_rules(datas))
    return failed


def calibrate(worlds: Iterable[World], draws: int) -> list[tuple[str, ...]]:
    """Return a row for each world."""
    rows = []
    for number, world in enumerate(worlds):
        counts = measure_world(world, draws, 17 + number)
        decided = max(counts.draws - counts.too_few, 1)
        shares = [f"{100 * count / decided:.1f}" for count in (counts.worse, counts.better, counts.found, counts.by_requests, counts.missed)]  # fmt: skip
        about = (world.kind, f"{world.rate:g}", f"{world.users:,}", f"{world.heaviness:g}")
        rows.append((*about, "yes" if world.shifted else "", f"{world.noise:g}", str(world.weeks), *shares, str(counts.too_few)))  # fmt: skip
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    titles = ("kind", "rate", "users", "heavy", "shifted", "noise", "weeks", "worse %", "better %", "power %", "z test %", "missed %", "refused")  # fmt: skip
    rows = calibrate(WORLDS, options.draws)
    failed = count_failed_gates(options.draws)
    print(
        f"Gates of 5 thresholds that failed without a change: {100 * failed / options.draws:.1f} %"
    )
    print_table("False alarms and power of comparisons of traffic", titles, rows)


if __name__ == "__main__":
    main()
