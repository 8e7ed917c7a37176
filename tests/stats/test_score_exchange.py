"""The exact test of graded scores, against enumeration and scipy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from evalkit.stats.distributions import Floats
from evalkit.stats.exchange_test import compare_passes
from evalkit.stats.pass_counts import PassCounts
from evalkit.stats.score_exchange_test import ScoreExchangeTest, run_score_exchange_test

laws = settings(max_examples=60, deadline=None)

Case = tuple[list[float], list[float]]
"""The baseline's and the candidate's scores of a case; more is worse."""


def measured(cases: Sequence[Case]) -> ScoreExchangeTest:
    return run_score_exchange_test(
        [np.array(base) for base, _ in cases], [np.array(new) for _, new in cases]
    )


def statistic(cases: Sequence[Case]) -> float:
    return sum(float(np.mean(new)) - float(np.mean(base)) for base, new in cases)


def divisions(case: Case) -> Iterator[Case]:
    """Every division of a case's scores between the runs."""
    base, new = case
    pooled = [*base, *new]
    for chosen in itertools.combinations(range(len(pooled)), len(new)):
        rest = [value for index, value in enumerate(pooled) if index not in chosen]
        yield rest, [pooled[index] for index in chosen]


# Tenths lie on a lattice when all cases have the same numbers of trials; other scores are rounded.
levels = st.integers(0, 10).map(lambda level: level / 10)
anything = st.floats(0, 1)


def cases_of(scores: st.SearchStrategy[float], most: int = 4) -> st.SearchStrategy[list[Case]]:
    row = st.lists(scores, min_size=1, max_size=3)
    return st.lists(st.tuples(row, row), min_size=1, max_size=most)


@laws
@given(
    st.integers(1, 3).flatmap(
        lambda m: st.integers(1, 3).flatmap(
            lambda k: st.lists(
                st.tuples(
                    st.lists(levels, min_size=m, max_size=m),
                    st.lists(levels, min_size=k, max_size=k),
                ),
                min_size=1,
                max_size=3,
            )
        )
    )
)
def test_the_p_value_counts_every_division_of_the_trials(cases: list[Case]) -> None:
    observed = statistic(cases)
    sums = [statistic(each) for each in itertools.product(*map(divisions, cases))]
    above = np.mean([value > observed + 1e-9 for value in sums])
    reached = np.mean([value > observed - 1e-9 for value in sums])
    assert measured(cases).p_value == pytest.approx((above + reached) / 2, abs=1e-9)


@pytest.mark.parametrize(("m", "k"), [(10, 1), (4, 2), (2, 3), (1, 1)])
def test_its_size_is_exact_over_all_that_could_have_come_up(m: int, k: int) -> None:
    rng = np.random.default_rng(m)
    pooled = [np.round(rng.random(m + k), 1).tolist() for _ in range(3 if m + k < 8 else 2)]
    observed: list[Case] = [(row[:m], row[m:]) for row in pooled]
    found = [
        measured(each).p_value
        for each in itertools.product(*(divisions(case) for case in observed))
    ]
    for alpha in (0.01, 0.05, 0.2, 0.5):
        expected = float(np.mean([p <= alpha for p in found]))
        assert measured(observed).false_alarm(alpha) == pytest.approx(expected, abs=1e-9)
    # The mean of a mid-p is one half.
    assert np.mean(found) == pytest.approx(0.5)
    assert min(found) == pytest.approx(measured(observed).smallest_p)


@laws
@given(cases_of(anything, most=8))
def test_both_runs_swapped_give_the_opposite(cases: list[Case]) -> None:
    swapped = measured([(new, base) for base, new in cases])
    assert swapped.p_value == pytest.approx(1 - measured(cases).p_value, abs=1e-9)


def test_the_smallest_differences_are_tested() -> None:
    assert measured([([0.0], [4e-161])]).freedom == pytest.approx(1.0)


@laws
@given(cases_of(anything, most=6), st.randoms())
def test_the_order_of_cases_and_trials_does_not_matter(cases: list[Case], random: object) -> None:
    mixed = [(sorted(base), sorted(new)) for base, new in cases]
    random.shuffle(mixed)  # type: ignore[attr-defined] # a random.Random, which hypothesis hides
    assert measured(mixed).p_value == pytest.approx(measured(cases).p_value, abs=1e-9)


@laws
@given(cases_of(levels, most=5), st.data())
def test_a_worse_score_never_raises_p(cases: list[Case], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(cases) - 1))
    base, new = cases[at]
    trial = data.draw(st.integers(0, len(new) - 1))
    worse = [*new]
    worse[trial] = data.draw(st.integers(round(10 * new[trial]), 10)) / 10
    after = [*cases[:at], (base, worse), *cases[at + 1 :]]
    # Where trials differ between cases, scores are rounded to a lattice, and p moves by rounding.
    assert measured(after).p_value <= measured(cases).p_value + 2e-3


@laws
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=12))
def test_of_passes_it_is_the_unweighted_test_of_pass_rates(passes: list[tuple[int, int]]) -> None:
    harm = [([1.0] * (4 - b) + [0.0] * b, [1.0] * (2 - c) + [0.0] * c) for b, c in passes]
    base, new = np.array(passes).T
    counts = PassCounts(
        base_passed=base,
        base_trials=np.full(base.size, 4),
        passed=new,
        trials=np.full(base.size, 2),
    )
    assert measured(harm).p_value == pytest.approx(compare_passes(counts).plain.p_value, abs=1e-9)


def drawn_cases(cases: int, m: int, k: int, shift: float) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(cases + m)
    return rng.random((cases, m)), rng.random((cases, k)) + shift


@pytest.mark.parametrize(("cases", "m", "k"), [(40, 10, 1), (40, 10, 3), (25, 3, 5)])
def test_it_agrees_with_random_divisions(cases: int, m: int, k: int) -> None:
    base, new = drawn_cases(cases, m, k, 0.06)
    pooled, rng = np.concatenate((base, new), axis=1), np.random.default_rng(5)
    draws = [rng.permuted(pooled, axis=1) for _ in range(4000)]
    sums = [float(np.sum(each[:, m:].mean(axis=1) - each[:, :m].mean(axis=1))) for each in draws]
    observed = float(np.sum(new.mean(axis=1) - base.mean(axis=1)))
    expected = float(np.mean(np.array(sums) >= observed))
    found = run_score_exchange_test(list(base), list(new))
    # Three standard errors of a share of .1 among 4,000 are .014.
    assert found.p_value == pytest.approx(expected, abs=0.015)
    assert found.se == pytest.approx(float(np.std(sums)) / cases, rel=0.05)


def test_one_case_is_scipys_permutation_test() -> None:
    base, new = np.random.default_rng(6).random((2, 6))
    expected = oracle.permutation_test(
        (new, base), lambda x, y: np.mean(x) - np.mean(y), alternative="greater", n_resamples=10_000
    ).pvalue
    # All 924 divisions are enumerated; half of the observed one does not count in a mid-p.
    found = run_score_exchange_test([base], [new]).p_value
    assert found == pytest.approx(expected - 0.5 / 924, abs=2e-3)


def test_scores_that_do_not_differ_are_no_evidence() -> None:
    found = measured([([0.3, 0.3], [0.3]), ([0.9], [0.9])])
    assert (found.p_value, found.smallest_p, found.se) == (0.5, 0.5, 0.0)


def test_one_enormous_score_leaves_the_others_their_weight() -> None:
    cases: list[Case] = [([0.0, 0.0, 0.0], [1.0])] * 5
    assert measured(cases).p_value == pytest.approx(0.5 / 4**5)
    assert measured([*cases, ([1e9, 1e9, 0.0], [1e9])]).p_value < 0.5
