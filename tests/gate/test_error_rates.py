"""How often the shipped rule fails an agent that did not change, and finds one that did.

Trials are drawn from the pass rates of real systems where their recordings lie beside the repository,
and from a small made-up world like them otherwise. Every draw is decided by the shipped code.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from evalkit.compare.paired_scores import PairedScores
from evalkit.core.eval_set import Case, Rule
from evalkit.core.run import MetricInfo
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.group_sequential import LOOK_TRIALS
from tests.bench.gate_batch import DrawnRuns, check_against_gate, decide_by_looks
from tests.support.paths import ROOT

RECORDINGS = ROOT.parent / "shared" / "data"
SUITES = ("lcb_testgen_counts.csv", "lcb_repair_counts.csv")
CASES, BASE_TRIALS = 100, 10
RULE = Rule(metric="accuracy", max_drop=0.02)
INFO = MetricInfo(name="accuracy")

World = Mapping[str, list[Floats]]
"""By suite, the pass rates of the cases of every system."""


def recorded_world() -> World:
    if not all((RECORDINGS / name).is_file() for name in SUITES):
        pytest.skip(f"no recorded trials in {RECORDINGS.name}/ beside the repository")
    world = {}
    for name in SUITES:
        systems = defaultdict(list)
        with (RECORDINGS / name).open(newline="") as rows:
            for row in csv.DictReader(rows):
                systems[row["system"]].append(int(row["n_pass"]) / int(row["n_trials"]))
        world[name] = [np.array(rates) for rates in systems.values()]
    return world


def made_up_world() -> World:
    """Thirty systems of which most cases are nearly always right or nearly always wrong."""
    rng = np.random.default_rng(20)
    return {"made up": [rng.beta(0.15, rng.uniform(0.05, 0.2), 400) for _ in range(30)]}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Pass rates before and after a change; equal when nothing changed."""

    before: Floats
    after: Floats


def unchanged(rates: Floats, _rng: np.random.Generator) -> Drawn | None:
    return Drawn(before=rates, after=rates)


def diffuse(drop: float, rates: Floats, _rng: np.random.Generator) -> Drawn | None:
    """Every case loses the same share; None where the system has not so much to lose."""
    if rates.mean() <= drop:
        return None
    return Drawn(before=rates, after=rates * (1 - drop / rates.mean()))


def concentrated(drop: float, rates: Floats, rng: np.random.Generator) -> Drawn | None:
    """A few cases that nearly always passed never pass any more."""
    after, left = rates.copy(), drop * rates.size
    for index in rng.permutation(rates.size):
        lost = min(rates[index], left) if rates[index] >= 0.8 else 0.0
        after[index] -= lost
        left -= lost
    return Drawn(before=rates, after=after) if left < 1e-9 else None


Change = Callable[[Floats, np.random.Generator], Drawn | None]


def rows_of(passes: Ints, trials: int) -> tuple[tuple[float, ...], ...]:
    return tuple((1.0,) * count + (0.0,) * (trials - count) for count in passes.tolist())


def outcome_rates(world: World, change: Change, *, trials: int, draws: int) -> dict[str, float]:
    """How often each outcome came up; every suite counts the same, then every system."""
    rng = np.random.default_rng(21)
    suites = list(world.values())
    cases = tuple(Case(id=str(number), input="?") for number in range(CASES))
    outcomes: Counter[str] = Counter()
    while outcomes.total() < draws:
        systems = suites[rng.integers(len(suites))]
        rates = systems[rng.integers(len(systems))]
        drawn = change(rng.choice(rates, CASES, replace=False), rng)
        if drawn is None:
            continue
        pairs = PairedScores(
            info=INFO,
            cases=cases,
            base=rows_of(rng.binomial(BASE_TRIALS, drawn.before), BASE_TRIALS),
            candidate=rows_of(rng.binomial(trials, drawn.after), trials),
        )
        outcomes[decide_paired(measure_change(RULE, pairs))] += 1
    return {outcome: count / draws for outcome, count in outcomes.items()}


WORLDS = (recorded_world, made_up_world)


@pytest.mark.parametrize("make_world", WORLDS)
@pytest.mark.parametrize(("trials", "passes"), [(1, 0.45), (3, 0.75)])
def test_an_agent_that_did_not_change_is_failed_at_most_one_time_in_twenty(
    make_world: Callable[[], World], trials: int, passes: float
) -> None:
    # A thousand draws tell a rate of .04 from one of .055.
    found = outcome_rates(make_world(), unchanged, trials=trials, draws=1000)
    assert found["fail"] <= 0.05
    assert found["pass"] >= passes


@pytest.mark.parametrize("make_world", WORLDS)
@pytest.mark.parametrize(
    ("change", "trials", "power"),
    [
        pytest.param(partial(diffuse, 0.05), 1, 0.70, id="5 points, diffuse"),
        pytest.param(partial(concentrated, 0.05), 1, 0.80, id="5 points, concentrated"),
        pytest.param(partial(diffuse, 0.05), 3, 0.90, id="5 points, diffuse, 3 trials"),
        pytest.param(partial(diffuse, 0.10), 1, 0.95, id="10 points, diffuse"),
        pytest.param(partial(concentrated, 0.10), 1, 0.95, id="10 points, concentrated"),
    ],
)
def test_a_drop_is_failed_as_often_as_was_found_when_the_rule_was_chosen(
    make_world: Callable[[], World], change: Change, trials: int, power: float
) -> None:
    # 400 draws know a power of .80 to .04, two standard errors.
    found = outcome_rates(make_world(), change, trials=trials, draws=400)
    assert found["fail"] >= power


@pytest.mark.parametrize("make_world", WORLDS)
@pytest.mark.parametrize("change", [diffuse, concentrated])
def test_a_drop_of_what_a_pass_rules_out_passes_at_most_one_time_in_twenty(
    make_world: Callable[[], World], change: Callable[..., Drawn | None]
) -> None:
    # 600 draws tell a rate of .05 from one of .075.
    found = outcome_rates(make_world(), partial(change, RULE.margin), trials=1, draws=600)
    assert found.get("pass", 0.0) <= 0.065


def churned(size: float, rates: Floats, rng: np.random.Generator) -> Drawn | None:
    """Some cases lose what others gain."""
    worse, better = concentrated(size, rates, rng), concentrated(size, 1 - rates, rng)
    if worse is None or better is None:
        return None
    return Drawn(before=rates, after=worse.after + (1 - better.after) - rates)


@pytest.mark.parametrize("make_world", WORLDS)
def test_cases_that_change_places_are_seldom_taken_for_a_drop(
    make_world: Callable[[], World],
) -> None:
    found = outcome_rates(make_world(), partial(churned, 0.05), trials=1, draws=400)
    assert found["fail"] <= 0.05


def draw_runs(world: World, change: Change, cases: int, base_trials: int, draws: int) -> DrawnRuns:
    rng = np.random.default_rng(23)
    suites = list(world.values())
    drawn: list[Drawn] = []
    while len(drawn) < draws:
        systems = suites[rng.integers(len(suites))]
        rates = systems[rng.integers(len(systems))]
        found = change(rng.choice(rates, cases, replace=False), rng)
        drawn += [found] if found is not None else []
    after = np.stack([each.after for each in drawn]).clip(0, 1)
    return DrawnRuns(
        base=rng.binomial(base_trials, np.stack([each.before for each in drawn])),
        base_trials=base_trials,
        candidate=rng.random((*after.shape, LOOK_TRIALS[-1])) < after[:, :, np.newaxis],
    )


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What runs with looks must reach; a standard error of 600 draws at .05 is .009."""

    cases: int
    base_trials: int
    change: Change
    fails: tuple[float, float]
    passes: float = 0.0
    trials: float = 5.0


LOOKED = [
    pytest.param(Looked(cases=100, base_trials=10, change=unchanged, fails=(0, 0.05), passes=0.86, trials=2.1), id="unchanged"),
    pytest.param(Looked(cases=50, base_trials=3, change=unchanged, fails=(0, 0.05)), id="unchanged, few"),
    pytest.param(Looked(cases=100, base_trials=10, change=partial(diffuse, 0.05), fails=(0.92, 1)), id="diffuse"),
    pytest.param(Looked(cases=100, base_trials=10, change=partial(concentrated, 0.05), fails=(0.955, 1)), id="concentrated"),
    pytest.param(Looked(cases=100, base_trials=3, change=partial(diffuse, 0.05), fails=(0.78, 1)), id="diffuse, short history"),
    pytest.param(Looked(cases=100, base_trials=3, change=partial(concentrated, 0.05), fails=(0.79, 1)), id="concentrated, short history"),
    pytest.param(Looked(cases=50, base_trials=10, change=partial(churned, 0.05), fails=(0, 0.06)), id="churn"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make_world", WORLDS)
@pytest.mark.parametrize("wanted", LOOKED)
def test_looks_that_leave_silent_cases_alone_keep_what_they_promise(
    make_world: Callable[[], World], wanted: Looked
) -> None:
    runs = draw_runs(make_world(), wanted.change, wanted.cases, wanted.base_trials, 600)
    found = decide_by_looks(runs, RULE)
    # The batch decides as the shipped gate does.
    check_against_gate(runs, found, RULE, None, range(2))
    least, most = wanted.fails
    assert least <= found.failed.mean() <= most
    assert found.passed.mean() >= wanted.passes
    assert found.trials.mean() <= wanted.trials
