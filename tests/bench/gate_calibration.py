"""How often the shipped gate fails an agent that did not change, and finds one that did.

Pass rates come from recordings of real systems where they lie beside the repository (or in the folder
that EVALKIT_RECORDED_TRIALS names) and from small made-up worlds otherwise. Every draw changes a
system, samples trials of it before and after, and is decided by the shipped code: on a fixed number K
of candidate trials, or after looks at one, two and three of them. Beside it stand the rules that
others use on the trials it took, and an oracle: the most powerful test of the same level for one who
knows every case's pass rate and the kind and size of the change, but not which cases it hit; where
there are looks it sees all trials that there may be. The rates of a recording are those of ten
trials, so a case that always passed counts as one that cannot fail, which the oracle knows too.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from pathlib import Path
from typing import TypeAlias

import numpy as np

from evalkit.compare.pairs import PairedScores
from evalkit.core.eval_set import Case, Rule
from evalkit.core.run import MetricInfo
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.gate.sequential import MAX_LOOKS, adjust_rule_for_look
from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.exchange_test import PassCounts, compare_passes
from evalkit.stats.power import z_quantile
from tests.bench.measuring import print_table

BESIDE = Path(__file__).parents[3] / "shared" / "data"
RULE = Rule(metric="accuracy", max_drop=0.02)
INFO = MetricInfo(name="accuracy")
CASES, BASE_TRIALS = (50, 100, 200), (1, 5, 10)
DROPS = (0.02, 0.05, 0.10, 0.20)
DRAWS, QUICK_DRAWS = 200, 4
REFERENCE = (100, 10)
"""The design that targets are set for: it gets three times the draws."""
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
    return {
        "code": [
            _read_counts(folder / f"lcb_{suite}_counts.csv") for suite in ("testgen", "repair")
        ],
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


CHANGES: Mapping[str, tuple[Change, Sequence[float]]] = {
    "unchanged": (change_nothing, (0.0,)),
    "diffuse": (lower_all, DROPS),
    "concentrated": (break_some, DROPS),
    "churn": (churn, DROPS),
}


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """A changed system, its baseline, and as many candidate trials as any schedule may look at."""

    drawn: Drawn
    base: Ints
    base_trials: int
    candidate: Ints
    """Shape (cases, trials): 0 or 1."""

    def counts(self, trials: int) -> PassCounts:
        """Passes when the first `trials` candidate trials of every case have been run."""
        return PassCounts(
            base_passed=self.base,
            base_trials=np.full(self.base.size, self.base_trials),
            passed=self.candidate[:, :trials].sum(axis=1),
            trials=np.full(self.base.size, trials),
        )

    def pairs(self, trials: int) -> PairedScores:
        """The same as scores, as the gate reads them."""
        return PairedScores(
            info=INFO,
            cases=tuple(Case(id=str(number), input="?") for number in range(self.base.size)),
            base=tuple(
                (1.0,) * passed + (0.0,) * (self.base_trials - passed)
                for passed in self.base.tolist()
            ),
            candidate=tuple(tuple(map(float, row)) for row in self.candidate[:, :trials].tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the gate made of a draw, and how many candidate trials of every case it took."""

    outcome: str
    trials: int


Schedule: TypeAlias = Callable[[Sampled], Decided]


def run_fixed(trials: int) -> Schedule:
    """Run so many trials of every case and decide."""

    def decide(sampled: Sampled) -> Decided:
        outcome = decide_paired(measure_change(RULE, sampled.pairs(trials)))
        return Decided(outcome=outcome, trials=trials)

    return decide


LOOK_RULES = tuple(adjust_rule_for_look(RULE, MAX_LOOKS, look) for look in range(1, MAX_LOOKS + 1))


def run_looks(sampled: Sampled) -> Decided:
    """Run one trial of every case after the other while nothing is decided."""
    outcome = "inconclusive"
    for trials in range(1, MAX_LOOKS + 1):
        outcome = decide_paired(measure_change(LOOK_RULES[trials - 1], sampled.pairs(trials)))
        if outcome != "inconclusive":
            break
    return Decided(outcome=outcome, trials=trials)


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A way to decide, and the most candidate trials of every case that it may take."""

    decide: Schedule
    most_trials: int


SCHEDULES: Mapping[str, Scheduled] = {
    "1": Scheduled(decide=run_fixed(1), most_trials=1),
    "3": Scheduled(decide=run_fixed(3), most_trials=3),
    "auto": Scheduled(decide=run_looks, most_trials=MAX_LOOKS),
}
MOST_TRIALS = 3


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


def oracle_fails(sampled: Sampled, trials: int, rng: np.random.Generator) -> bool:
    """The likelihood-ratio test of what is expected against no change (Neyman and Pearson 1933)."""
    drawn = sampled.drawn
    same = _law(drawn.before, trials)
    changed = sum(share[:, np.newaxis] * _law(rates, trials) for share, rates in drawn.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(same > 0, np.log(changed) - np.log(same), np.inf)
    cases = np.arange(drawn.before.size)
    null = rng.binomial(trials, drawn.before, (NULL_DRAWS, cases.size))
    threshold = float(np.quantile(ratio[cases, null].sum(axis=1), 1 - RULE.alpha, method="higher"))
    return bool(ratio[cases, sampled.counts(trials).passed].sum() > threshold)


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


def sample(world: World, setting: Setting, rng: np.random.Generator) -> Sampled | None:
    """Draw a system that can change so much, change it, and run it before and after; None if none can."""
    change, _ = CHANGES[setting.change]
    for _ in range(ATTEMPTS):
        suite = world[int(rng.integers(len(world)))]
        rates = suite[int(rng.integers(len(suite)))]
        picked = rng.choice(rates, setting.cases, replace=setting.cases > rates.size)
        drawn = change(setting.size, picked, rng)
        if drawn is not None:
            size = (MOST_TRIALS, setting.cases)
            return Sampled(
                drawn=drawn,
                base=rng.binomial(setting.base_trials, drawn.before),
                base_trials=setting.base_trials,
                candidate=rng.binomial(1, drawn.after.clip(0, 1), size).T,
            )
    return None


def measure_row(world: World, setting: Setting, draws: int) -> list[str] | None:
    """Decide that many draws; None where no system of the world can change so much."""
    rng, oracle_rng = np.random.default_rng(21), np.random.default_rng(22)
    schedule = SCHEDULES[setting.schedule]
    found: Counter[str] = Counter()
    for _ in range(draws):
        sampled = sample(world, setting, rng)
        if sampled is None:
            return None
        decided = schedule.decide(sampled)
        counts = sampled.counts(decided.trials)
        found.update([decided.outcome])
        found["runs"] += decided.trials
        true_mean = float(sampled.drawn.before.mean())
        found.update(name for name, fails in RULES_OF_OTHERS.items() if fails(counts, true_mean))
        if sampled.drawn.expected:
            found["oracle"] += oracle_fails(sampled, schedule.most_trials, oracle_rng)
    has_oracle = setting.change in ("diffuse", "concentrated")
    ratio = f"{found['fail'] / found['oracle']:.2f}" if found["oracle"] else "-"
    share = {name: f"{100 * count / draws:.1f}" for name, count in found.items()}
    return [
        setting.label,
        f"{draws}",
        *(share.get(outcome, "0.0") for outcome in ("fail", "pass", "inconclusive")),
        f"{found['runs'] / draws:.2f}",
        share.get("oracle", "0.0") if has_oracle else "-",
        ratio,
        *(share.get(name, "0.0") for name in RULES_OF_OTHERS),
    ]


def _settings(worlds: Sequence[str], cases: Sequence[int], bases: Sequence[int]) -> list[Setting]:
    return [
        Setting(world=world, cases=n, base_trials=m, change=change, size=size, schedule=schedule)
        for world in worlds
        for n in cases
        for m in bases
        for schedule in SCHEDULES
        for change, (_, sizes) in CHANGES.items()
        for size in sizes
    ]


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run; its numbers mean little")
    parser.add_argument("--made-up", action="store_true", help="leave recordings aside")
    parser.add_argument("--cases", type=int, nargs="+", default=CASES, metavar="N")
    parser.add_argument("--base-trials", type=int, nargs="+", default=BASE_TRIALS, metavar="M")
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = _read_options()
    folder = Path(os.environ.get("EVALKIT_RECORDED_TRIALS", BESIDE))
    is_recorded = folder.is_dir() and not options.made_up and not options.quick
    worlds = recorded_worlds(folder) if is_recorded else made_up_worlds()
    cases, bases, draws = options.cases, options.base_trials, options.draws
    if options.quick:
        cases, bases, draws = (50,), (10,), QUICK_DRAWS
    rows = []
    for setting in _settings(list(worlds), cases, bases):
        is_reference = (setting.cases, setting.base_trials) == REFERENCE
        row = measure_row(worlds[setting.world], setting, 3 * draws if is_reference else draws)
        if row is not None:
            rows.append(row)
    errors = (
        f"{100 * sqrt(rate * (1 - rate) / draws):.1f} at {rate:.0%}" for rate in (0.05, 0.50, 0.80)
    )
    print_table(
        f"How often each rule fails, in % ({'recorded' if is_recorded else 'made-up'} pass rates, "
        f"max_drop 2 pt, alpha 0.05; standard error of {draws} draws: {', '.join(errors)})",
        (
            *("world, n cases, m baseline and K candidate trials, change", "draws", "evalkit"),
            *("passes", "open", "runs/case", "oracle", "evalkit/oracle"),
            *RULES_OF_OTHERS,
        ),
        rows,
    )


if __name__ == "__main__":
    main()
