"""How often the shipped gate is wrong about graded scores and about clusters, and what it finds.

Every draw makes up a set, samples its scores before and after a change, and is decided by the shipped
code. An error is a fail of an agent that did not change, or of a metric exactly at its limit, and a pass
of an agent that is worse by the margin, or of a metric just short of its limit. Four tables:

- changes of graded scores, by one test or after looks at one, two, and three trials of every case;
- the question about other cases like these, with cases in clusters;
- `min` on cases in clusters;
- `min` on graded scores.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from typing import TypeAlias

import numpy as np

from evalkit.compare.estimates import estimate_metric
from evalkit.compare.pairs import PairedScores
from evalkit.compare.scores import CaseScores
from evalkit.core.eval_set import Case, Rule
from evalkit.core.run import MetricInfo
from evalkit.gate.evidence import decide_paired
from evalkit.gate.limits import decide_limit
from evalkit.gate.paired import measure_change
from evalkit.gate.sequential import MAX_LOOKS, adjust_rule_for_look
from evalkit.stats.distributions import Floats, Ints
from tests.bench.measuring import print_table

CASES = (50, 100, 200)
TRIALS = ((10, 1), (10, 3), (3, 1))
"""Baseline and candidate trials per case."""
DRAWS, QUICK_DRAWS = 400, 4
DROP = 0.05
"""As large as the margin: a pass is an error."""
STABLE = 0.8
WORKERS = 2
Draw: TypeAlias = Callable[[Floats, int, np.random.Generator], Floats]
"""Scores of so many trials, shape (cases, trials), of cases with these means."""


@dataclass(frozen=True, kw_only=True)
class World:
    """How the means of cases are distributed, and the trials of one case around its mean."""

    means: Callable[[int, np.random.Generator], Floats]
    trials: Draw
    unit: str = ""
    has_stable_cases: bool = True


def _beta_trials(means: Floats, trials: int, rng: np.random.Generator, size: float) -> Floats:
    means = means.clip(1e-6, 1 - 1e-6)[:, np.newaxis]
    return rng.beta(size * means, size * (1 - means), (means.size, trials))


def _level_trials(means: Floats, trials: int, rng: np.random.Generator) -> Floats:
    return np.round(4 * _beta_trials(means, trials, rng, 3.0)) / 4


def _failing_trials(means: Floats, trials: int, rng: np.random.Generator) -> Floats:
    """Answers that are either perfect or miss most."""
    passed = rng.random((means.size, trials)) < ((means - 0.2) / 0.8)[:, np.newaxis]
    return np.where(passed, 1.0, 0.2)


def _seconds(means: Floats, trials: int, rng: np.random.Generator) -> Floats:
    """Lognormal seconds with rare spikes; a mean that fell by a share is a time that rose by it."""
    shape = (means.size, trials)
    spikes = np.where(rng.random(shape) < 0.03, 5.0, 1.0)
    return rng.lognormal(0.0, 0.25, shape) * spikes / means[:, np.newaxis]


WORLDS: Mapping[str, World] = {
    "judge score, stable and flaky cases": World(
        means=lambda n, rng: rng.beta(0.6, 0.25, n), trials=partial(_beta_trials, size=2.0)
    ),
    "five levels": World(means=lambda n, rng: rng.beta(4, 1.5, n), trials=_level_trials),
    "high with rare failures": World(
        means=lambda n, rng: 1 - rng.beta(0.5, 12, n), trials=_failing_trials
    ),
    "low with rare successes": World(
        means=lambda n, rng: 0.2 + 0.8 * rng.beta(0.5, 6, n),
        trials=_failing_trials,
        has_stable_cases=False,
    ),
    "steady": World(
        means=lambda n, rng: rng.uniform(0.5, 0.95, n), trials=partial(_beta_trials, size=60.0)
    ),
    "seconds": World(
        means=lambda n, rng: rng.lognormal(0, 0.7, n),
        trials=_seconds,
        unit="s",
        has_stable_cases=False,
    ),
}


def lower_all(means: Floats, _rng: np.random.Generator) -> Floats:
    """Every case loses the same share."""
    after: Floats = means * (1 - DROP / means.mean())
    return after


def break_some(means: Floats, rng: np.random.Generator) -> Floats:
    """A few good cases score as low as they can."""
    after, left = means.copy(), DROP * means.size
    for index in rng.permutation(means.size):
        lost = min(means[index] - 0.2, left) if means[index] >= STABLE else 0.0
        after[index] -= lost
        left -= lost
    return after


def slow_all(means: Floats, _rng: np.random.Generator) -> Floats:
    """Every case takes as much longer as the margin tolerates."""
    return means / (1 + MARGIN_OF_SECONDS)


CHANGES = {"unchanged": None, "diffuse": lower_all, "concentrated": break_some}
MARGIN_OF_SECONDS = 0.2
RULES = {
    "": Rule(metric="score", max_drop=0.02, margin=DROP),
    "s": Rule(metric="score", max_rise=0.1, margin=MARGIN_OF_SECONDS),
}


def _pairs(
    base: Floats, candidate: Floats, unit: str, clusters: Iterable[str | None]
) -> PairedScores:
    return PairedScores(
        info=MetricInfo(name="score", unit=unit, higher_is_better=not unit),
        cases=tuple(
            Case(id=str(number), input="?", cluster=cluster)
            for number, cluster in enumerate(clusters)
        ),
        base=tuple(map(tuple, base.tolist())),
        candidate=tuple(map(tuple, candidate.tolist())),
    )


def _percent(count: float, draws: int) -> str:
    share = count / draws
    return f"{100 * share:.1f} ±{100 * sqrt(share * (1 - share) / draws):.1f}"


@dataclass(frozen=True, kw_only=True)
class ChangeCell:
    """One row of the table of changes; `trials` is 0 for looks."""

    world: str
    cases: int
    base_trials: int
    trials: int
    change: str

    def measure(self, draws: int) -> list[str]:
        """Decide that many draws."""
        rng = np.random.default_rng(31)
        world = WORLDS[self.world]
        found: Counter[str] = Counter()
        for _ in range(draws):
            means = world.means(self.cases, rng)
            change = CHANGES[self.change]
            if change is not None and world.unit:
                change = slow_all
            after = means if change is None else change(means, rng)
            base = world.trials(means, self.base_trials, rng)
            candidate = world.trials(after, self.trials or MAX_LOOKS, rng)
            outcome, taken = self._decide(base, candidate, world.unit)
            found.update([outcome])
            found["runs"] += taken
        return [
            f"{self.world}, n={self.cases} m={self.base_trials} K={self.trials or 'auto'}",
            self.change,
            *(_percent(found[outcome], draws) for outcome in ("fail", "pass", "inconclusive")),
            f"{found['runs'] / draws:.2f}",
        ]

    def _decide(self, base: Floats, candidate: Floats, unit: str) -> tuple[str, int]:
        outcome, taken = "inconclusive", 0
        for taken in (self.trials,) if self.trials else range(1, MAX_LOOKS + 1):
            rule = RULES[unit]
            if not self.trials:
                rule = adjust_rule_for_look(rule, MAX_LOOKS, taken)
            pairs = _pairs(base, candidate[:, :taken], unit, [None] * len(base))
            outcome = decide_paired(measure_change(rule, pairs))
            if outcome != "inconclusive":
                break
        return outcome, taken


SIZES: Mapping[str, Sequence[int]] = {"6": (6,), "3 to 9": (3, 4, 6, 8, 9)}
"""The sizes of clusters, in turn."""


@dataclass(frozen=True, kw_only=True)
class Clustered:
    """Cases in clusters: `alike` is the correlation of two cases of one cluster (ICC)."""

    clusters: int
    sizes: str
    alike: float
    rate: float

    @property
    def label(self) -> str:
        """The first cell of a row."""
        return f"{self.clusters} clusters of {self.sizes}, ICC {self.alike}, rate {self.rate}"

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Return the pass rate of every cluster, and the number of its cases."""
        strength = 1 / self.alike - 1
        rates = rng.beta(self.rate * strength, (1 - self.rate) * strength, self.clusters)
        return rates, np.resize(SIZES[self.sizes], self.clusters)


def _count_limit_errors(
    found: dict[str, float],
    rows: Floats,
    clusters: Sequence[str | None],
    mean: float,
    unit: str = "",
) -> None:
    scores = [
        CaseScores(values=tuple(row), flags=(), cluster=cluster)
        for row, cluster in zip(rows.tolist(), clusters, strict=True)
    ]
    estimate = estimate_metric(Rule(metric="score", min=0.0), unit, scores)
    low, high = estimate.interval
    found["width"] += high - low
    # A value exactly at its limit must not fail; one just short of it must not pass.
    for outcome, limit in (("fail", mean), ("pass", mean + 1e-8)):
        found[outcome] += decide_limit(Rule(metric="score", min=limit), estimate) == outcome


def _limit_cells(found: Mapping[str, float], draws: int) -> list[str]:
    return [
        *(_percent(found[outcome], draws) for outcome in ("fail", "pass")),
        f"{found['width'] / draws:.3f}",
    ]


@dataclass(frozen=True, kw_only=True)
class ClusterCell:
    """One row of the table of `min` on clusters."""

    setting: Clustered

    def measure(self, draws: int) -> list[str]:
        """Decide that many draws at the true rate."""
        rng = np.random.default_rng(32)
        found: dict[str, float] = defaultdict(float)
        for _ in range(draws):
            rates, sizes = self.setting.draw(rng)
            passed = (rng.random(sizes.sum()) < np.repeat(rates, sizes)).astype(float)
            names = np.repeat(np.arange(sizes.size), sizes).astype(str).tolist()
            _count_limit_errors(found, passed[:, np.newaxis], names, self.setting.rate)
        return [self.setting.label, *_limit_cells(found, draws)]


SHAPES: Mapping[str, tuple[Callable[[int, np.random.Generator], Floats], float, str]] = {
    "Beta(9, 1)": (lambda n, rng: rng.beta(9, 1, n), 0.9, ""),
    "Beta(19, 1)": (lambda n, rng: rng.beta(19, 1, n), 0.95, ""),
    "Beta(4, .4)": (lambda n, rng: rng.beta(4, 0.4, n), 4 / 4.4, ""),
    "Beta(1, 9)": (lambda n, rng: rng.beta(1, 9, n), 0.1, ""),
    "Beta(80, 20)": (lambda n, rng: rng.beta(80, 20, n), 0.8, ""),
    "1, or .2 in 5 %": (lambda n, rng: np.where(rng.random(n) < 0.05, 0.2, 1.0), 0.96, ""),
    "1, or .2 in 3 %": (lambda n, rng: np.where(rng.random(n) < 0.03, 0.2, 1.0), 0.976, ""),
    "1, or .5 in 10 %": (lambda n, rng: np.where(rng.random(n) < 0.1, 0.5, 1.0), 0.95, ""),
    "0, or .7 in 5 %": (lambda n, rng: np.where(rng.random(n) < 0.05, 0.7, 0.0), 0.035, ""),
    "lognormal(0, .6) s": (lambda n, rng: rng.lognormal(0, 0.6, n), float(np.exp(0.18)), "s"),
}


@dataclass(frozen=True, kw_only=True)
class ShapeCell:
    """One row of the table of `min` and `max` on graded scores."""

    shape: str
    cases: int

    def measure(self, draws: int) -> list[str]:
        """Decide that many draws at the true mean."""
        rng = np.random.default_rng(33)
        draw, mean, unit = SHAPES[self.shape]
        found: dict[str, float] = defaultdict(float)
        for _ in range(draws):
            rows = draw(self.cases, rng)[:, np.newaxis]
            _count_limit_errors(found, rows, [None] * self.cases, mean, unit)
        return [f"{self.shape}, n={self.cases}", *_limit_cells(found, draws)]


@dataclass(frozen=True, kw_only=True)
class UsersCell:
    """One row of the table of the question about other cases: an agent that did not change."""

    setting: Clustered
    base_trials: int
    trials: int
    graded: bool

    def measure(self, draws: int) -> list[str]:
        """Decide that many draws."""
        rng = np.random.default_rng(34)
        rule = replace(RULES[""], estimand="users", max_drop=0.0)
        found: Counter[str] = Counter()
        for _ in range(draws):
            rates, sizes = self.setting.draw(rng)
            # The cases of a cluster are as good on average, and each has its own rate.
            passing, failing = (0.5 + 8 * np.repeat(share, sizes) for share in (rates, 1 - rates))
            means: Floats = np.asarray(rng.beta(passing, failing))
            before, after = (
                _beta_trials(means, trials, rng, 2.0)
                if self.graded
                else (rng.random((means.size, trials)) < means[:, np.newaxis]).astype(float)
                for trials in (self.base_trials, self.trials)
            )
            names = np.repeat(np.arange(sizes.size), sizes).astype(str).tolist()
            found[decide_paired(measure_change(rule, _pairs(before, after, "", names)))] += 1
        kind = "graded" if self.graded else "0/1"
        return [
            f"{self.setting.label}, {kind}, m={self.base_trials} K={self.trials}",
            _percent(found["fail"], draws),
            _percent(found["pass"], draws),
        ]


Cell: TypeAlias = ChangeCell | ClusterCell | ShapeCell | UsersCell


def _tables(cases: Sequence[int]) -> dict[str, tuple[Sequence[str], list[Cell]]]:
    changes: list[Cell] = [
        ChangeCell(world=world, cases=n, base_trials=m, trials=k, change=change)
        for world in WORLDS
        for n in cases
        for m, k in (*TRIALS, (10, 0))
        for change in CHANGES
        if change != "concentrated" or WORLDS[world].has_stable_cases
    ]
    clusters: list[Cell] = [
        ClusterCell(setting=Clustered(clusters=g, sizes=sizes, alike=alike, rate=rate))
        for sizes in SIZES
        for g in (10, 20, 30)
        for alike in (0.2, 0.5, 0.8)
        for rate in (0.7, 0.8, 0.9, 0.95)
    ]
    users: list[Cell] = [
        UsersCell(
            setting=Clustered(clusters=g, sizes="6", alike=0.4, rate=rate),
            base_trials=m,
            trials=k,
            graded=graded,
        )
        for g in (10, 30)
        for rate in (0.7, 0.95)
        for m, k in ((10, 1), (3, 3))
        for graded in (False, True)
    ]
    shapes: list[Cell] = [ShapeCell(shape=shape, cases=n) for shape in SHAPES for n in cases]
    # A `max` passes falsely where a `min` fails falsely, and the reverse.
    limit_heads = ("false fails", "false passes", "width")
    return {
        "Changes of graded scores, %": (
            (
                *("world, n cases, m baseline and K candidate trials", "change"),
                *("fails", "passes", "open", "runs/case"),
            ),
            changes,
        ),
        "Other cases like these, nothing changed, %": (("cases", "fails", "passes"), users),
        "min on clusters, at the limit, %": (("cases", *limit_heads), clusters),
        "min on graded scores, at the limit, %": (("scores", *limit_heads), shapes),
    }


def _measure(draws: int, cell: Cell) -> list[str]:
    return cell.measure(draws)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run; its numbers mean little")
    parser.add_argument("--cases", type=int, nargs="+", default=CASES, metavar="N")
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N")
    parser.add_argument("--only", default="", metavar="WORD", help="tables with this in the title")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = _read_options()
    draws = QUICK_DRAWS if options.quick else options.draws
    cases = (50,) if options.quick else options.cases
    with ProcessPoolExecutor(WORKERS) as pool:
        for title, (heads, cells) in _tables(cases).items():
            if options.only in title:
                print_table(title, heads, list(pool.map(partial(_measure, draws), cells)))


if __name__ == "__main__":
    main()
