"""How often the shipped gate fails an agent that did not change, and finds one that did.

Pass rates come from recordings of real systems where they lie beside the repository (or in the folder
that EVALKIT_RECORDED_TRIALS names) and from small made-up worlds otherwise. The constants of the gate
were chosen on every other recorded system, `code, tuned on`; the others are `code, held out`. Every draw
changes a system, samples trials of it before and after, and decides: on a fixed number K of candidate
trials, or by looks. Many draws are decided at once by `gate_batch`, and some of each cell by the shipped
code, which must agree. Every share has its standard error.

With `--others` the rules that others use stand beside it, on the trials it took, and an oracle: the most
powerful test of the same level for one who knows every case's pass rate and the kind and size of the
change, but not which cases it hit; where there are looks it sees all trials that there may be. The rates
of a recording are those of ten trials, so a case that always passed counts as one that cannot fail, which
the oracle knows too.

Each entry of DESIGNS measures one kind of metric or of cases.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from math import comb, sqrt
from pathlib import Path
from typing import TypeAlias

import numpy as np

from evalkit.core.eval_set import Rule
from evalkit.gate.sequential import MIN_BASE_TRIALS_FOR_LOOKS
from evalkit.stats.distributions import Floats
from evalkit.stats.exchange_test import compare_passes
from evalkit.stats.group_sequential import LOOK_TRIALS
from evalkit.stats.pass_counts import PassCounts
from evalkit.stats.power import z_quantile
from tests.bench.gate_batch import (
    Decisions,
    DrawnRuns,
    check_against_gate,
    decide_by_looks,
    decide_fixed,
)
from tests.bench.measuring import print_table

BESIDE = Path(__file__).parents[3] / "shared" / "data"
RULE = Rule(metric="accuracy", max_drop=0.02)
CASES, BASE_TRIALS = (50, 100, 200), (1, 3, 5, 10)
DROPS = (0.05,)
DRAWS, QUICK_DRAWS = 400, 4
CHECKED = 3
"""Draws of each cell that the shipped code decides too."""
NULL_DRAWS = 400
"""Candidates without a change, from which the oracle takes its threshold, per draw."""
ATTEMPTS = 1000
"""Systems tried before a change is taken to be too large for all of a world."""
STABLE = 0.8
"""From this pass rate on a case is one that a concentrated change can break."""

System: TypeAlias = Floats
"""The pass rates of a system's cases."""
World: TypeAlias = Sequence[Sequence[System]]
"""Suites of systems; every suite counts the same, then every system."""


def _read_counts(path: Path) -> list[System]:
    systems = defaultdict(list)
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            systems[row["system"]].append(int(row["n_pass"]) / int(row["n_trials"]))
    return [np.array(rates) for rates in systems.values()]


def _read_trials(path: Path) -> list[System]:
    cases = defaultdict(list)
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            cases[row["case_id"]].append(float(row["score"]))
    return [np.array([np.mean(scores) for scores in cases.values()])]


def recorded_worlds(folder: Path) -> dict[str, World]:
    """Code suites, most of whose cases are stable, and an airline agent, half of whose waver."""
    suites = [_read_counts(folder / f"lcb_{suite}_counts.csv") for suite in ("testgen", "repair")]
    return {
        "code, tuned on": [systems[0::2] for systems in suites],
        "code, held out": [systems[1::2] for systems in suites],
        "airline": [_read_trials(folder / "tau_airline_trials.csv")],
    }


def made_up_worlds() -> dict[str, World]:
    """Most cases nearly always right or nearly always wrong, and cases that all waver alike."""
    rng = np.random.default_rng(20)
    return {
        "stable": [[rng.beta(0.15, rng.uniform(0.05, 0.2), 400) for _ in range(30)]],
        "wavering": [[rng.beta(14, 6, 400) for _ in range(30)]],
    }


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Pass rates before and after a change; `expected` is a mixture (share, rates) of what may follow."""

    before: Floats
    after: Floats
    expected: tuple[tuple[Floats, Floats], ...] = ()


Change: TypeAlias = Callable[[float, System, np.random.Generator], Drawn | None]
"""Hit a system by so much; None where it has not so much to lose."""


def change_nothing(_drop: float, rates: System, _rng: np.random.Generator) -> Drawn | None:
    """An agent that is what it was."""
    return Drawn(before=rates, after=rates)


def lower_all(drop: float, rates: System, _rng: np.random.Generator) -> Drawn | None:
    """Every case loses the same share."""
    if rates.mean() <= drop:
        return None
    after = rates * (1 - drop / rates.mean())
    return Drawn(before=rates, after=after, expected=((np.ones(rates.size), after),))


def _take(amount: float, rates: System, rng: np.random.Generator) -> Floats | None:
    """Break stable cases in random order until the mean has lost so much."""
    after, left = rates.copy(), amount * rates.size
    for index in rng.permutation(rates.size):
        lost = min(rates[index], left) if rates[index] >= STABLE else 0.0
        after[index] -= lost
        left -= lost
    return after if left < 1e-9 else None


def break_some(drop: float, rates: System, rng: np.random.Generator) -> Drawn | None:
    """A few cases that nearly always passed never pass any more."""
    after = _take(drop, rates, rng)
    if after is None:
        return None
    stable = rates >= STABLE
    share = np.where(stable, drop * rates.size / rates[stable].sum(), 0.0)
    broken = np.where(stable, 0.0, rates)
    return Drawn(before=rates, after=after, expected=((1 - share, rates), (share, broken)))


def churn(size: float, rates: System, rng: np.random.Generator) -> Drawn | None:
    """Some cases lose what others gain: nothing is lost on the whole."""
    worse, better = _take(size, rates, rng), _take(size, 1 - rates, rng)
    if worse is None or better is None:
        return None
    return Drawn(before=rates, after=worse + (1 - better) - rates)


CHANGES: Mapping[str, Change] = {
    "unchanged": change_nothing,
    "diffuse": lower_all,
    "concentrated": break_some,
    "churn": churn,
}


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Changed systems, their baselines, and as many candidate trials as any schedule may look at."""

    drawn: Sequence[Drawn]
    runs: DrawnRuns

    def counts(self, index: int, trials: int) -> PassCounts:
        """Passes of one run when the first `trials` candidate trials of every case have been run."""
        base, runs = self.runs.base[index], self.runs
        return PassCounts(
            base_passed=base,
            base_trials=np.full(base.size, runs.base_trials),
            passed=runs.candidate[index, :, :trials].sum(axis=1),
            trials=np.full(base.size, trials),
        )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A way to decide; `trials` is the fixed number, None for looks."""

    trials: int | None

    def decide(self, runs: DrawnRuns) -> Decisions:
        """Decide all runs."""
        if self.trials is None:
            return decide_by_looks(runs, RULE)
        return decide_fixed(runs, RULE, self.trials)


SCHEDULES: Mapping[str, Schedule] = {
    "1": Schedule(trials=1),
    "3": Schedule(trials=3),
    "auto": Schedule(trials=None),
}
MOST_TRIALS = LOOK_TRIALS[-1]


def any_drop(counts: PassCounts, _true_mean: float) -> bool:
    """Fail when the mean is lower at all."""
    return _loss(counts) > 1e-9


def drop_above_2(counts: PassCounts, _true_mean: float) -> bool:
    """Fail when the mean is lower by more than two points."""
    return _loss(counts) > 0.02 + 1e-9


def drop_above_5(counts: PassCounts, _true_mean: float) -> bool:
    """Fail when the mean is lower by more than five points."""
    return _loss(counts) > 0.05 + 1e-9


def _loss(counts: PassCounts) -> float:
    return float(np.mean(counts.base_passed / counts.base_trials - counts.passed / counts.trials))


def accuracy_at_least(counts: PassCounts, true_mean: float) -> bool:
    """Fail below a fixed accuracy, the true one."""
    return float(np.mean(counts.passed / counts.trials)) < true_mean - 1e-9


def unpaired_z(counts: PassCounts, _true_mean: float) -> bool:
    """Two-proportion z test of all trials, as if no two were of one case."""
    sizes = counts.base_trials.sum(), counts.trials.sum()
    rate = (counts.base_passed.sum() + counts.passed.sum()) / sum(sizes)
    se = sqrt(rate * (1 - rate) * (1 / sizes[0] + 1 / sizes[1]))
    loss = counts.base_passed.sum() / sizes[0] - counts.passed.sum() / sizes[1]
    return bool(loss > z_quantile(RULE.alpha) * se)


def mcnemar_on_majority(counts: PassCounts, _true_mean: float) -> bool:
    """Count a case as passed when most of its trials pass, then McNemar's mid-p test."""
    ones = np.ones_like(counts.trials)
    majority = PassCounts(
        base_passed=(2 * counts.base_passed > counts.base_trials).astype(np.int64),
        base_trials=ones,
        passed=(2 * counts.passed > counts.trials).astype(np.int64),
        trials=ones,
    )
    return compare_passes(majority).p_value <= RULE.alpha


RULES_OF_OTHERS: Mapping[str, Callable[[PassCounts, float], bool]] = {
    "any drop": any_drop,
    "> 2 pt": drop_above_2,
    "> 5 pt": drop_above_5,
    ">= X": accuracy_at_least,
    "unpaired z": unpaired_z,
    "McNemar maj.": mcnemar_on_majority,
}


def _law(rates: Floats, trials: int) -> Floats:
    """Binomial probabilities, shape (cases, trials + 1)."""
    passes = np.arange(trials + 1)
    ways = np.array([comb(trials, count) for count in passes], dtype=float)
    p = rates[:, np.newaxis]
    law: Floats = ways * p**passes * (1 - p) ** (trials - passes)
    return law


def oracle_fails(sampled: Sampled, index: int, trials: int, rng: np.random.Generator) -> bool:
    """The likelihood-ratio test of what is expected against no change (Neyman and Pearson 1933)."""
    drawn = sampled.drawn[index]
    same = _law(drawn.before, trials)
    changed = sum(share[:, np.newaxis] * _law(rates, trials) for share, rates in drawn.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(same > 0, np.log(changed) - np.log(same), np.inf)
    cases = np.arange(drawn.before.size)
    null = rng.binomial(trials, drawn.before, (NULL_DRAWS, cases.size))
    threshold = float(np.quantile(ratio[cases, null].sum(axis=1), 1 - RULE.alpha, method="higher"))
    return bool(ratio[cases, sampled.counts(index, trials).passed].sum() > threshold)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one row of the table is about."""

    world: str
    cases: int
    base_trials: int
    change: str
    size: float
    schedule: str

    @property
    def label(self) -> str:
        """The first cell of the row."""
        points = f" {100 * self.size:.0f} pt" if self.size else ""
        return (
            f"{self.world} n={self.cases} m={self.base_trials} K={self.schedule} "
            f"{self.change}{points}"
        )


@cache
def load_worlds(*, recorded: bool) -> dict[str, World]:
    """Return the worlds by name; recordings come with made-up worlds beside them."""
    folder = Path(os.environ.get("EVALKIT_RECORDED_TRIALS", BESIDE))
    return {**(recorded_worlds(folder) if recorded else {}), **made_up_worlds()}


def sample(world: World, setting: Setting, draws: int) -> Sampled | None:
    """Draw systems that can change so much, change them, and run them before and after; None if none can."""
    rng = np.random.default_rng(21)
    change = CHANGES[setting.change]
    drawn: list[Drawn] = []
    for _ in range(ATTEMPTS + 10 * draws):
        suite = world[int(rng.integers(len(world)))]
        rates = suite[int(rng.integers(len(suite)))]
        picked = rng.choice(rates, setting.cases, replace=setting.cases > rates.size)
        changed = change(setting.size, picked, rng)
        drawn += [changed] if changed is not None else []
        if len(drawn) == draws:
            break
    else:
        return None
    before = np.stack([each.before for each in drawn])
    after = np.stack([each.after for each in drawn]).clip(0, 1)
    runs = DrawnRuns(
        base=rng.binomial(setting.base_trials, before),
        base_trials=setting.base_trials,
        candidate=rng.random((*after.shape, MOST_TRIALS)) < after[:, :, np.newaxis],
    )
    return Sampled(drawn=drawn, runs=runs)


def share_text(share: float, draws: int) -> str:
    """Return a share in percent with its standard error."""
    return f"{100 * abs(share):.1f} ± {100 * sqrt(max(share * (1 - share), 0.0) / draws):.1f}"


def measure_row(
    setting: Setting, *, recorded: bool, draws: int, others: bool = False
) -> list[str] | None:
    """Decide that many draws; None where too few systems of the world can change so much."""
    sampled = sample(load_worlds(recorded=recorded)[setting.world], setting, draws)
    if sampled is None:
        return None
    schedule = SCHEDULES[setting.schedule]
    decided = schedule.decide(sampled.runs)
    check_against_gate(sampled.runs, decided, RULE, schedule.trials, range(min(CHECKED, draws)))
    failed, passed = float(decided.failed.mean()), float(decided.passed.mean())
    row = [
        setting.label,
        f"{draws}",
        *(share_text(share, draws) for share in (failed, passed, 1 - failed - passed)),
        f"{decided.trials.mean():.2f}",
    ]
    return [*row, *_measure_others(sampled, schedule, decided)] if others else row


def _measure_others(sampled: Sampled, schedule: Schedule, decided: Decisions) -> list[str]:
    """Return how often the oracle and each rule of others fails, on the same draws."""
    rng = np.random.default_rng(22)
    found: Counter[str] = Counter()
    for index, drawn in enumerate(sampled.drawn):
        counts = sampled.counts(index, max(1, int(decided.trials[index])))
        true_mean = float(drawn.before.mean())
        found.update(name for name, fails in RULES_OF_OTHERS.items() if fails(counts, true_mean))
        if drawn.expected:
            found["oracle"] += oracle_fails(sampled, index, schedule.trials or MOST_TRIALS, rng)
    draws = len(sampled.drawn)
    return [f"{100 * found[name] / draws:.1f}" for name in ("oracle", *RULES_OF_OTHERS)]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much to measure."""

    cases: Sequence[int]
    base_trials: Sequence[int]
    drops: Sequence[float]
    draws: int
    recorded: bool
    others: bool
    workers: int
    worlds: Sequence[str] | None = None
    """Names of worlds; None means all."""


def measure_binary(extent: Extent) -> None:
    """Measure and print a rule on a 0/1 metric, for every world, size, schedule and change."""
    settings = [
        Setting(world=world, cases=n, base_trials=m, change=change, size=size, schedule=schedule)
        for world in load_worlds(recorded=extent.recorded)
        if extent.worlds is None or world in extent.worlds
        for n in extent.cases
        for m in extent.base_trials
        for schedule in SCHEDULES
        # With fewer baseline trials a run takes no looks.
        if schedule != "auto" or m >= MIN_BASE_TRIALS_FOR_LOOKS
        for change in CHANGES
        for size in ((0.0,) if change == "unchanged" else extent.drops)
    ]
    measure = partial(
        measure_row, recorded=extent.recorded, draws=extent.draws, others=extent.others
    )
    rows = _measure_all(measure, settings, extent.workers)
    print_table(
        f"How often the gate decides, in % with standard errors "
        f"({'recorded and' if extent.recorded else 'only'} made-up pass rates, max_drop 2 pt, alpha 0.05)",
        (
            *("world, n cases, m baseline and K candidate trials, change", "draws", "fails"),
            *("passes", "open", "runs/case"),
            *(("oracle", *RULES_OF_OTHERS) if extent.others else ()),
        ),
        [row for row in rows if row is not None],
    )


def _measure_all(
    measure: Callable[[Setting], list[str] | None], settings: Sequence[Setting], workers: int
) -> Iterable[list[str] | None]:
    if workers == 1:
        return [measure(setting) for setting in settings]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(measure, settings, chunksize=4))


DESIGNS: Mapping[str, Callable[[Extent], None]] = {"binary": measure_binary}
"""What to measure, by name; each function prints its own table."""


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run; its numbers mean little")
    parser.add_argument("--made-up", action="store_true", help="leave recordings aside")
    parser.add_argument("--others", action="store_true", help="the rules of others, and the oracle")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--cases", type=int, nargs="+", default=CASES, metavar="N")
    parser.add_argument("--base-trials", type=int, nargs="+", default=BASE_TRIALS, metavar="M")
    parser.add_argument("--drops", type=float, nargs="+", default=DROPS, metavar="SHARE")
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N")
    parser.add_argument("--worlds", nargs="+", metavar="NAME", help="only these worlds")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = _read_options()
    folder = Path(os.environ.get("EVALKIT_RECORDED_TRIALS", BESIDE))
    quick = options.quick
    extent = Extent(
        cases=(50,) if quick else options.cases,
        base_trials=(10,) if quick else options.base_trials,
        drops=options.drops,
        draws=QUICK_DRAWS if quick else options.draws,
        recorded=folder.is_dir() and not options.made_up and not quick,
        others=options.others or quick,
        workers=1 if quick else options.workers,
        worlds=options.worlds,
    )
    for name in options.designs:
        DESIGNS[name](extent)


if __name__ == "__main__":
    main()
