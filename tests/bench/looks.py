"""Measures looking after every trial: false alarms, drops found, and agent runs per case.

Trials are drawn from pass rates like those of real systems: most cases nearly always right or nearly
always wrong. Every draw is decided by the shipped code, one look after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.compare import PairedScores
from evalkit.gating.evidence import judge_evidence
from evalkit.gating.gate import LOOK_SHARE
from evalkit.gating.looks import MOST_LOOKS
from evalkit.gating.weighing import weigh_evidence
from evalkit.records import Case, MetricInfo, Outcome, Rule
from tests.bench.measuring import print_table, wants_quick

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Change = Callable[[Floats, np.random.Generator], Floats | None]

CASES, BASE_TRIALS = 100, 10
RULE = Rule(metric="accuracy", max_drop=0.02, alpha=LOOK_SHARE * 0.05)
INFO = MetricInfo(name="accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Shares of the outcomes, and agent runs per case, over many draws."""

    shares: Mapping[Outcome, float]
    runs_per_case: float


def make_systems() -> list[Floats]:
    """Thirty systems' pass rates by case."""
    rng = np.random.default_rng(20)
    return [rng.beta(0.15, rng.uniform(0.05, 0.2), 400) for _ in range(30)]


def leave(rates: Floats, _rng: np.random.Generator) -> Floats | None:
    """Change nothing."""
    return rates


def drop_everywhere(rates: Floats, _rng: np.random.Generator) -> Floats | None:
    """Take the same share of every case's rate, five points in all; None if there are not as many."""
    return rates * (1 - 0.05 / rates.mean()) if rates.mean() > 0.05 else None


def break_some(rates: Floats, rng: np.random.Generator) -> Floats | None:
    """Break cases that nearly always passed, until five points are lost."""
    after, left = rates.copy(), 0.05 * rates.size
    for index in rng.permutation(rates.size):
        lost = min(rates[index], left) if rates[index] >= 0.8 else 0.0
        after[index] -= lost
        left -= lost
    return after if left < 1e-9 else None


def _rows(passes: Ints, trials: int) -> tuple[tuple[float, ...], ...]:
    return tuple((1.0,) * count + (0.0,) * (trials - count) for count in passes.tolist())


def take_looks(before: Floats, after: Floats, rng: np.random.Generator) -> tuple[Outcome, int]:
    """Decide one made-up run as a run is: the outcome, and how many looks it took."""
    base = _rows(rng.binomial(BASE_TRIALS, before), BASE_TRIALS)
    cases = tuple(Case(id=str(number), input="?") for number in range(before.size))
    passed = np.zeros(before.size, dtype=np.int64)
    outcome: Outcome = "inconclusive"
    for look in range(1, MOST_LOOKS + 1):
        passed = passed + rng.binomial(1, after)
        pairs = PairedScores(info=INFO, cases=cases, base=base, candidate=_rows(passed, look))
        outcome = judge_evidence(weigh_evidence(RULE, pairs))
        if outcome != "inconclusive":
            break
    return outcome, look


def measure_looks(systems: Sequence[Floats], change: Change, draws: int) -> Measured:
    """Draw systems, cases and trials, change the agent, decide."""
    rng = np.random.default_rng(22)
    outcomes: Counter[Outcome] = Counter()
    looks = 0
    while outcomes.total() < draws:
        rates = systems[int(rng.integers(len(systems)))]
        before = rates[rng.permutation(rates.size)[:CASES]]
        after = change(before, rng)
        if after is None:
            continue
        outcome, taken = take_looks(before, after, rng)
        outcomes[outcome] += 1
        looks += taken
    shares = {outcome: count / draws for outcome, count in outcomes.items()}
    return Measured(shares=shares, runs_per_case=looks / draws)


CHANGES: Mapping[str, Change] = {
    "nothing": leave,
    "5 points, diffuse": drop_everywhere,
    "5 points, concentrated": break_some,
}


def main() -> None:
    """Print what the looks do to each kind of change."""
    draws = 40 if wants_quick(__doc__) else 4000
    systems = make_systems()
    rows = []
    for name, change in CHANGES.items():
        found = measure_looks(systems, change, draws)
        shares = [
            f"{100 * found.shares.get(outcome, 0.0):.1f}"
            for outcome in ("fail", "pass", "inconclusive")
        ]
        rows.append([name, *shares, f"{found.runs_per_case:.2f}"])
    print_table(
        f"{CASES} cases, {BASE_TRIALS} baseline trials, {draws} draws",
        ["what changed", "fail %", "pass %", "inconclusive %", "runs per case"],
        rows,
    )


if __name__ == "__main__":
    main()
