"""A budget never buys more than it has, and a larger one never detects less."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.allotment import (
    Allotment,
    choose_allotment,
    find_next_allotment,
    list_allotments,
)
from evalkit.stats.group_sequential import (
    ALPHA_SHARES,
    LOOK_TRIALS,
    alpha_at_look,
    list_looks,
    simulate_looks,
)
from evalkit.stats.power import Design, DropLimits, chance_to_fail, find_detectable_drop

LIMITS = DropLimits(alpha=0.05, max_drop=0.02, tolerated=0.05)


def test_plans_cost_what_their_trials_take() -> None:
    plans = list_allotments(100, silent=10, most_looks=5, most_fixed=7)
    assert [(plan.trials, plan.looks, plan.most_trials) for plan in plans] == [
        (1, 0, 100),
        (2, 2, 190),
        (3, 3, 280),
        (4, 4, 370),
        (5, 5, 460),
        (6, 0, 600),
        (7, 0, 700),
    ]
    both = list_allotments(100, silent=10, most_looks=0, least_fixed=2, most_fixed=4, agents=2)
    assert [(plan.trials, plan.looks, plan.most_trials) for plan in both] == [
        (2, 0, 400),
        (3, 0, 600),
        (4, 0, 800),
    ]


@settings(max_examples=25)
@given(
    cases=st.integers(30, 300),
    silent=st.floats(0, 0.5),
    base_trials=st.sampled_from([2, 3, 10]),
    noise=st.floats(0.01, 0.15),
    budgets=st.lists(st.floats(0.2, 25), min_size=2, max_size=6),
)
def test_more_budget_never_detects_less_nor_takes_more_than_it_has(
    cases: int, silent: float, base_trials: int, noise: float, budgets: list[float]
) -> None:
    left_alone = int(silent * cases)
    design = Design(
        cases=cases, base_trials=base_trials, trials=1, mean=0.5, noise=noise, silent=silent
    )
    known: dict[Allotment, float | None] = {}

    def detect(plan: Allotment) -> float | None:
        if plan not in known:
            planned = replace(design, trials=plan.trials, looks=plan.looks)
            # The formula is enough: simulated looks have their own tests.
            known[plan] = find_detectable_drop(planned, LIMITS, chance=chance_to_fail, steps=12)
        return known[plan]

    plans = list_allotments(cases, silent=left_alone, most_looks=5 if base_trials >= 3 else 0)
    before = 1.1
    for budget in sorted(round(share * cases) for share in budgets):
        chosen = choose_allotment(plans, budget, detect)
        if chosen is None:
            assert budget < cases
            continue
        assert cases <= chosen.most_trials <= budget
        drop = detect(chosen)
        found = 1.0 if drop is None else drop
        assert found <= before
        before = found
        following = find_next_allotment(plans, chosen, detect)
        if following is not None:
            assert following.most_trials > budget
            better = detect(following)
            assert better is not None
            assert better < found


def test_a_last_look_after_four_trials_keeps_the_level() -> None:
    assert list_looks(4) == (1, 2, 3, 4)
    assert [list_looks(most) for most in (0, 1, 2, 3, 5, 9)] == [
        (),
        (1,),
        (1, 2),
        (1, 2, 3),
        LOOK_TRIALS,
        LOOK_TRIALS,
    ]
    assert alpha_at_look(1.0, 4) == alpha_at_look(1.0, 5) == ALPHA_SHARES[-1]
    for base_trials in (3, 10):
        four = Design(cases=100, base_trials=base_trials, trials=4, mean=0.8, noise=0.08, looks=4)
        five = replace(four, trials=5, looks=5)
        limits = replace(LIMITS, max_drop=0.0)
        # Its trials overlap more with those of the looks before it than five would.
        assert simulate_looks(four, limits, 0.0).failed <= simulate_looks(five, limits, 0.0).failed
        three, many = (simulate_looks(replace(four, looks=n), limits, 0.05) for n in (3, 4))
        assert three.failed < many.failed
