"""The tests, intervals and power of the gate, against enumeration, scipy and statsmodels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped] # has none
from statsmodels.stats.proportion import (  # type: ignore[import-untyped] # has none
    proportion_confint,
)

from evalkit.compare.scores import mean, quantile
from evalkit.core.format import (
    find_distinct_digits,
    format_change,
    format_missing,
    format_odds,
    format_value,
)
from evalkit.stats.beta_prior import RATES, fit_rate_distribution
from evalkit.stats.distributions import Floats, Ints, beta_quantile, exchange_pmf, t_quantile
from evalkit.stats.exchange_test import (
    NET_ALPHA_FACTOR,
    WEIGHT_STEPS_PER_NAT,
    ExchangeTest,
    PassCounts,
    WeightFunction,
    compare_passes,
    count_below_quantile,
    drop_weights,
    estimate_trial_variance,
    fit_weights,
    net_weights,
    plain_weights,
    weights_mislead,
)
from evalkit.stats.intervals import (
    effective_trials,
    mean_interval,
    quantile_interval,
    share_interval,
    trials_for_bounds,
    wilson_interval,
)
from evalkit.stats.power import (
    LEANING_ALPHA,
    Design,
    DropLimits,
    chance_to_decide,
    chance_to_fail,
    find_detectable_drop,
    trials_to_decide,
    z_quantile,
)
from evalkit.stats.sign_flip_test import run_sign_flip_test

laws = settings(max_examples=50, deadline=None)

Row = tuple[int, int, int, int]
"""Baseline passes, baseline trials, candidate passes, candidate trials."""


def counts(rows: Sequence[Row]) -> PassCounts:
    table = np.array(rows)
    return PassCounts(
        base_passed=table[:, 0], base_trials=table[:, 1], passed=table[:, 2], trials=table[:, 3]
    )


def swapped(rows: Sequence[Row]) -> list[Row]:
    return [(c, k, b, m) for b, m, c, k in rows]


def outcomes(rows: Sequence[Row]) -> Iterator[tuple[float, list[Row]]]:
    """Every way the passes of each case could have fallen on the two runs, with its probability."""
    ways = []
    for b, m, c, k in rows:
        s = b + c
        ways.append(
            [
                (float(oracle.hypergeom.pmf(x, m + k, s, k)), (s - x, m, x, k))
                for x in range(max(0, s - m), min(k, s) + 1)
            ]
        )
    for combination in itertools.product(*ways):
        chance = float(np.prod([chance for chance, _ in combination]))
        yield chance, [row for _, row in combination]


@st.composite
def designs(draw: st.DrawFn, *, most_cases: int = 12, most: int = 5) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(1, most_cases))):
        m, k = draw(st.integers(1, most)), draw(st.integers(1, most))
        rows.append((draw(st.integers(0, m)), m, draw(st.integers(0, k)), k))
    return rows


SMALL_DESIGNS: list[list[Row]] = [
    [(1, 1, 0, 1)] * 4 + [(0, 1, 1, 1)],
    [(3, 3, 1, 3), (2, 3, 0, 3), (3, 3, 3, 3)],
    [(10, 10, 0, 1), (9, 10, 0, 1), (5, 10, 1, 1), (0, 10, 1, 1), (10, 10, 1, 1)],
    [(5, 5, 0, 2), (4, 5, 1, 2), (1, 4, 0, 1), (3, 3, 1, 3)],
    [(4, 6, 1, 2), (6, 6, 0, 3), (2, 4, 0, 1)],
]


@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 2), (10, 1), (10, 3), (2, 5)])
def test_the_law_of_a_case_is_hypergeometric(m: int, k: int) -> None:
    law = exchange_pmf(m, k)
    for s in range(m + k + 1):
        expected = oracle.hypergeom.pmf(np.arange(k + 1), m + k, s, k)
        assert law[s] == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(("m", "k"), [(3, 1), (10, 1), (10, 3), (5, 4)])
def test_the_weights_are_the_likelihood_ratios_they_stand_for(m: int, k: int) -> None:
    spread = fit_rate_distribution(np.full(6, m + k), np.array([0, 1, m, m + k, m + k, m + k]))
    law = exchange_pmf(m, k)
    for s in range(m + k + 1):
        possible = np.flatnonzero(law[s])
        worsened = np.array(
            [
                np.sum(
                    spread * oracle.binom.pmf(s - c, m, RATES) * oracle.binom.pmf(c, k, 0.9 * RATES)
                )
                for c in possible
            ]
        )
        worsened /= worsened.sum()
        broken = (possible == 0).astype(float) if s <= m else law[s, possible]
        ratio = (0.98 * worsened + 0.02 * broken) / law[s, possible]
        expected = WEIGHT_STEPS_PER_NAT * np.log(ratio)
        assert np.abs(drop_weights(spread, m, k)[s, possible] - expected).max() <= 0.5 + 1e-6


def test_the_spread_starts_from_most_cases_being_stable() -> None:
    nothing = np.array([], dtype=np.int64)
    spread = fit_rate_distribution(nothing, nothing)
    for low, high in [(0.001, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 0.999)]:
        inside = spread[(low <= RATES) & (high > RATES)].sum()
        beyond = 2 * oracle.beta.cdf(RATES[0], 0.2, 0.2)
        expected = oracle.beta.cdf(high, 0.2, 0.2) - oracle.beta.cdf(low, 0.2, 0.2)
        # The cells of the grid, of up to .025 each, overlap the bounds.
        assert inside == pytest.approx(expected / (1 - beyond), abs=0.025)


@pytest.mark.parametrize("rates", [[0.7], [0.02, 0.98], [0.3, 0.95]])
def test_the_spread_finds_the_rates_that_cases_have(rates: list[float]) -> None:
    rng = np.random.default_rng(8)
    drawn = rng.choice(rates, 2000)
    spread = fit_rate_distribution(np.full(drawn.size, 40), rng.binomial(40, drawn))
    assert spread.sum() == pytest.approx(1)
    for rate in rates:
        near = np.abs(np.log(RATES / (1 - RATES)) - np.log(rate / (1 - rate))) < 0.8
        assert spread[near].sum() == pytest.approx(np.mean(drawn == rate), abs=0.06)


def test_failures_weigh_alike_where_all_cases_waver_alike() -> None:
    m, k = 10, 1
    alike = fit_rate_distribution(np.full(100, 11), np.full(100, 8))
    stable = fit_rate_distribution(np.full(100, 11), np.array([11] * 80 + [0] * 20))

    def worth_of_failing(spread: Floats) -> list[int]:
        weights = drop_weights(spread, m, k)
        return [int(weights[s, 0] - weights[s, 1]) for s in (6, 10)]

    seldom, nearly_never = worth_of_failing(stable)
    assert nearly_never > 2 * seldom
    seldom, nearly_never = worth_of_failing(alike)
    assert nearly_never < 2 * seldom


@pytest.mark.parametrize(("m", "k"), [(3, 1), (10, 1), (10, 3), (5, 4)])
def test_net_weights_change_sign_where_passes_and_failures_change_places(m: int, k: int) -> None:
    passed = np.array([0, 1, m, m + k, m + k, m + k])
    spread, mirrored = (
        fit_rate_distribution(np.full(6, m + k), counted) for counted in (passed, m + k - passed)
    )
    assert mirrored[::-1] == pytest.approx(spread)
    assert (net_weights(spread, m, k) == -net_weights(spread[::-1], m, k)[::-1, ::-1]).all()


def designs_of(rows: Sequence[Row]) -> Ints:
    return np.array([(m, k, b + c) for b, m, c, k in rows])


def brute_force_p(rows: Sequence[Row], weigh: WeightFunction) -> float:
    def score(of: Sequence[Row]) -> int:
        return sum(int(weigh(m, k)[b + c, c]) for b, m, c, k in of)

    observed = score(rows)
    above = sum(chance for chance, of in outcomes(rows) if score(of) > observed)
    equal = sum(chance for chance, of in outcomes(rows) if score(of) == observed)
    return above + equal / 2


@pytest.mark.parametrize("rows", SMALL_DESIGNS)
def test_p_values_are_those_of_enumerating_every_outcome(rows: list[Row]) -> None:
    test = compare_passes(counts(rows))
    plain = brute_force_p(rows, plain_weights)
    drop, net = plain, plain
    if not weights_mislead(counts(rows)):
        drop, net = (brute_force_p(rows, weigh) for weigh in fit_weights(designs_of(rows)))
    assert test.plain.p_value == pytest.approx(plain, abs=1e-12)
    assert test.drop.p_value == pytest.approx(drop, abs=1e-12)
    assert test.net.p_value == pytest.approx(net, abs=1e-12)
    assert test.p_value == pytest.approx(max(drop, net / NET_ALPHA_FACTOR), abs=1e-12)


@pytest.mark.parametrize("rows", SMALL_DESIGNS)
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_size_is_exactly_how_often_an_unchanged_agent_gets_so_small_a_p(
    rows: list[Row], alpha: float
) -> None:
    every = [(chance, compare_passes(counts(of))) for chance, of in outcomes(rows)]
    test = compare_passes(counts(rows))
    for kind in ("plain", "drop", "net"):
        found = sum(chance for chance, of in every if getattr(of, kind).p_value <= alpha)
        assert getattr(test, kind).null_distribution.rejection_rate(alpha) == pytest.approx(
            found, abs=1e-12
        )
    failed = sum(
        chance for chance, of in every if of.p_value <= alpha and of.plain.p_value <= LEANING_ALPHA
    )
    assert failed <= test.false_alarm(alpha) + 1e-12
    assert min(of.p_value for _, of in every) >= test.smallest_p - 1e-12


def test_what_others_gain_is_set_against_what_stable_cases_lose() -> None:
    steady: list[Row] = [(10, 10, 1, 1)] * 40 + [(0, 10, 0, 1)] * 40 + [(5, 10, 1, 1)] * 6
    lost: list[Row] = [(10, 10, 0, 1)] * 5
    gained: list[Row] = [(0, 10, 1, 1)] * 4
    alone = compare_passes(counts(steady + lost))
    offset = compare_passes(counts(steady + lost + gained))
    assert alone.p_value < 0.001
    assert not alone.is_offset_by_gains
    assert offset.drop.p_value < 0.001
    assert offset.p_value > 0.1
    assert offset.is_offset_by_gains


@laws
@given(
    both=st.integers(0, 30), lost=st.integers(0, 12), won=st.integers(0, 12), none=st.integers(0, 9)
)
def test_one_trial_against_one_is_mcnemars_mid_p(both: int, lost: int, won: int, none: int) -> None:
    rows: list[Row] = [(1, 1, 1, 1)] * both + [(1, 1, 0, 1)] * lost
    rows += [(0, 1, 1, 1)] * won + [(0, 1, 0, 1)] * none
    if not rows:
        return
    p_value = compare_passes(counts(rows)).p_value
    discordant = lost + won
    expected = oracle.binom.sf(lost, discordant, 0.5) + oracle.binom.pmf(lost, discordant, 0.5) / 2
    assert p_value == pytest.approx(float(expected), abs=1e-12)
    if lost > won:
        two_sided = mcnemar([[both, lost], [won, none]], exact=True).pvalue
        one_sided = two_sided / 2 - float(oracle.binom.pmf(lost, discordant, 0.5)) / 2
        assert p_value == pytest.approx(one_sided, abs=1e-12)


@pytest.mark.parametrize("row", [(9, 10, 1, 4), (3, 5, 0, 5), (8, 8, 2, 3)])
def test_one_case_is_fishers_exact_test_with_mid_p(row: Row) -> None:
    b, m, c, k = row
    one_sided = oracle.fisher_exact(
        np.array([[b, m - b], [c, k - c]]), alternative="greater"
    ).pvalue
    observed = float(oracle.hypergeom.pmf(c, m + k, b + c, k))
    assert compare_passes(counts([row])).plain.p_value == pytest.approx(
        one_sided - observed / 2, abs=1e-12
    )


@laws
@given(designs())
def test_swapping_the_runs_mirrors_the_plain_test(rows: list[Row]) -> None:
    there, back = compare_passes(counts(rows)), compare_passes(counts(swapped(rows)))
    assert there.delta == pytest.approx(-back.delta, abs=1e-12)
    assert there.se == pytest.approx(back.se, rel=1e-12)
    assert there.plain.p_value + back.plain.p_value == pytest.approx(1.0, abs=1e-12)


@laws
@given(designs())
def test_a_drop_in_passes_is_a_rise_in_failures(rows: list[Row]) -> None:
    there, back = compare_passes(counts(rows).inverted()), compare_passes(counts(swapped(rows)))
    assert there.delta == pytest.approx(back.delta, abs=1e-12)
    assert there.plain.p_value == pytest.approx(back.plain.p_value, abs=1e-12)


@laws
@given(designs())
def test_a_drop_and_the_rise_that_mirrors_it_share_out_the_net_test(rows: list[Row]) -> None:
    there, mirrored = compare_passes(counts(rows)), compare_passes(counts(rows).inverted())
    assert there.delta == pytest.approx(-mirrored.delta, abs=1e-12)
    assert there.net.p_value + mirrored.net.p_value == pytest.approx(1.0, abs=1e-9)
    # So no result fails both as a drop and as a rise.
    assert max(there.p_value, mirrored.p_value) >= 0.5 / NET_ALPHA_FACTOR - 1e-9


@laws
@given(designs(), st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(rows: list[Row], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    there, again = compare_passes(counts(rows)), compare_passes(counts(shuffled))
    assert there.p_value == pytest.approx(again.p_value, abs=1e-12)
    assert (there.delta, there.se) == pytest.approx((again.delta, again.se), abs=1e-12)


@laws
@given(designs(), st.data())
def test_one_more_failure_never_weakens_the_plain_test_nor_the_upper_bound(
    rows: list[Row], data: st.DataObject
) -> None:
    passing = [index for index, (_, _, c, _) in enumerate(rows) if c]
    if not passing:
        return
    index = data.draw(st.sampled_from(passing))
    b, m, c, k = rows[index]
    worse = [*rows[:index], (b, m, c - 1, k), *rows[index + 1 :]]
    before, after = compare_passes(counts(rows)), compare_passes(counts(worse))
    assert after.plain.p_value <= before.plain.p_value + 1e-12
    assert after.delta < before.delta


def test_p_values_stay_in_range_and_finite_at_every_size() -> None:
    rng = np.random.default_rng(5)
    for n, m, k in [(1, 1, 1), (1, 10, 3), (400, 10, 3), (50, 1, 9)]:
        for rate in (0.0, 0.5, 1.0):
            b, c = rng.binomial(m, rate, n), rng.binomial(k, rate, n)
            test = compare_passes(
                counts([(int(x), m, int(y), k) for x, y in zip(b, c, strict=True)])
            )
            assert 0 <= test.p_value <= 1
            assert 0 <= test.plain.p_value <= 1
            assert np.isfinite((test.delta, test.se, test.noise)).all()


def test_noise_is_unbiased_and_never_below_what_so_few_cases_can_exclude() -> None:
    rates = np.linspace(0.05, 0.95, 40)
    rng = np.random.default_rng(1)
    seen = [
        estimate_trial_variance(
            PassCounts(
                base_passed=rng.binomial(4, rates),
                base_trials=np.full(40, 4),
                passed=rng.binomial(2, rates),
                trials=np.full(40, 2),
            )
        )
        for _ in range(600)
    ]
    assert np.mean(seen) == pytest.approx(np.mean(rates * (1 - rates)), rel=0.02)
    assert estimate_trial_variance(counts([(3, 3, 1, 1)] * 50)) == pytest.approx(0.25 / 50)


@pytest.mark.parametrize(
    ("rows", "misled"),
    [
        ([(10, 10, 1, 1)] * 5, False),
        ([(2, 2, 1, 1)] * 5, True),
        ([(3, 3, 1, 4)] * 5, True),
        ([(3, 3, 1, 3)] * 5, False),
        ([(10, 10, 1, 1)] * 3 + [(2, 2, 1, 1)] * 2, False),
        ([(10, 10, 1, 1)] * 2 + [(2, 2, 1, 1)] * 3, True),
    ],
)
def test_weights_are_given_up_where_most_baselines_are_too_small(
    rows: list[Row], misled: bool
) -> None:
    assert weights_mislead(counts(rows)) is misled
    test = compare_passes(counts(rows))
    assert (test.drop is test.plain) is misled
    assert (test.net is test.plain) is misled


@pytest.mark.parametrize(("lost", "smallest"), [(3, 0.0625), (4, 0.03125)])
def test_fewer_than_four_differences_one_against_one_prove_nothing(
    lost: int, smallest: float
) -> None:
    test: ExchangeTest = compare_passes(counts([(1, 1, 0, 1)] * lost + [(1, 1, 1, 1)] * 50))
    assert test.smallest_p == pytest.approx(smallest)
    assert test.p_value == pytest.approx(smallest)


@laws
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=1, max_size=9))
def test_few_differences_are_tested_by_every_sign_pattern(differences: list[float]) -> None:
    nonzero = [d for d in differences if d]
    sums = [
        sum(sign * d for sign, d in zip(signs, nonzero, strict=True))
        for signs in itertools.product((1, -1), repeat=len(nonzero))
    ]
    observed = sum(differences)
    expected = sum((s > observed + 1e-9) + (s > observed - 1e-9) for s in sums) / 2 / len(sums)
    assert run_sign_flip_test(np.array(differences)).p_value == pytest.approx(expected)


def test_the_exact_and_the_drawn_test_agree_with_scipy() -> None:
    rng = np.random.default_rng(2)
    few, many = rng.normal(0.4, 1, 12), rng.normal(0.12, 1, 150)
    exact = oracle.permutation_test(
        (few,), np.mean, permutation_type="samples", alternative="greater", n_resamples=5000
    ).pvalue
    assert run_sign_flip_test(few).p_value == pytest.approx(exact - 0.5 / 2**12)
    drawn = oracle.permutation_test(
        (many,),
        lambda d, axis: np.mean(d, axis=axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(3),
    ).pvalue
    assert run_sign_flip_test(many).p_value == pytest.approx(drawn, abs=0.01)


def test_the_drawn_test_is_reproducible_and_blind_to_order_and_zeros() -> None:
    differences = np.random.default_rng(4).normal(0.1, 1, 60)
    found = run_sign_flip_test(differences)
    assert run_sign_flip_test(differences[::-1]) == found
    assert run_sign_flip_test(np.append(differences, np.zeros(9))) == found
    assert run_sign_flip_test(np.full(60, 1.0)).p_value == found.smallest_p == 1 / 20_000


def test_no_difference_is_no_evidence() -> None:
    assert run_sign_flip_test(np.zeros(7)).p_value == 0.5


def test_a_shift_of_a_quantile_is_counted_beyond_the_pooled_one() -> None:
    base = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    found = count_below_quantile(base, [[2.5, 7.0], [8.0, 9.0]], 0.5)
    assert found.base_passed.tolist() == [3, 1]
    assert found.passed.tolist() == [1, 0]
    assert (found.base_trials.tolist(), found.trials.tolist()) == ([3, 3], [2, 2])


@pytest.mark.parametrize("alpha", [0.001, 0.022, 0.05, 0.1])
def test_students_quantiles_are_scipys(alpha: float) -> None:
    for freedom in (1, 2, 3, 4, 5, 10, 29, 100, 999):
        assert t_quantile(alpha, freedom) == pytest.approx(oracle.t.isf(alpha, freedom), rel=1e-9)


@pytest.mark.parametrize(("passes", "trials"), [(0, 10), (5, 10), (84, 100), (200, 200)])
def test_wilsons_interval_is_that_of_statsmodels(passes: int, trials: int) -> None:
    expected = proportion_confint(passes, trials, alpha=0.1, method="wilson")
    assert tuple(wilson_interval(passes / trials, trials, 0.05)) == pytest.approx(expected)


def alone(cases: int) -> list[list[int]]:
    """Cases without clusters."""
    return [[index] for index in range(cases)]


def worth(rows: Sequence[Sequence[float]], groups: list[list[int]] | None = None) -> float:
    rates = np.array([float(np.mean(row)) for row in rows])
    return effective_trials(rates, groups or alone(len(rows)), sum(map(len, rows)))


def test_several_trials_are_worth_between_their_cases_and_their_number() -> None:
    alike = [[1.0] * 5, [0.0] * 5, [1.0] * 5, [0.0] * 5]
    assert worth(alike) == 4
    assert worth([[1.0] * 5] * 4) == 4
    assert worth([[1.0, 0.0, 1.0]]) == 1
    assert worth([[1.0], [0.0], [1.0]]) == 3
    mixed = [[1.0, 0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0]]
    assert worth(mixed * 2) == 20
    assert 4 < worth([[1.0] * 4 + [0.0], [1.0] * 5, [0.0, 1.0] * 2, [0.0] * 5]) < 19


def test_cases_of_a_cluster_are_worth_less_the_more_alike_they_are() -> None:
    clusters = [[6 * at + case for case in range(6)] for at in range(20)]
    same = [[float(at % 4 > 0)] for at in range(20) for _ in range(6)]
    mixed = [[float((at + case) % 4 > 0)] for at in range(20) for case in range(6)]
    assert worth(same, clusters) == 20
    assert worth(same) == 120
    assert worth(mixed, clusters) == pytest.approx(120, rel=0.15)
    one_large = [list(range(100)), *([100 + at] for at in range(20))]
    assert worth([[1.0]] * 120, one_large) == pytest.approx(120**2 / (100**2 + 20))


def test_one_failure_does_not_show_that_cases_of_a_cluster_are_independent() -> None:
    clusters = [[6 * at + case for case in range(6)] for at in range(20)]
    rows = [[1.0]] * 119 + [[0.0]]
    assert 20 < worth(rows, clusters) < 60


@pytest.mark.parametrize(("passes", "trials"), [(0, 10), (5, 10), (84, 100), (200, 200)])
def test_the_interval_of_a_share_is_that_of_statsmodels(passes: int, trials: int) -> None:
    expected = proportion_confint(passes, trials, alpha=0.1, method="beta")
    found = share_interval(passes / trials, trials, 0.05)
    assert tuple(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("level", [0.001, 0.05, 0.95])
@pytest.mark.parametrize(("a", "b"), [(0.3, 2), (1, 1), (4.7, 51.2), (1e5, 3.0), (3e4, 7e5)])
def test_beta_quantiles_are_scipys(level: float, a: float, b: float) -> None:
    assert beta_quantile(level, a, b) == pytest.approx(oracle.beta.ppf(level, a, b), rel=1e-8)


def test_the_interval_of_a_mean_without_skewness_is_students() -> None:
    values = np.array([0.2, 0.4, 0.5, 0.6, 0.8])
    expected = oracle.t.interval(0.9, 4, np.mean(values), oracle.sem(values))
    assert tuple(mean_interval(values, alone(5), 0.05)) == pytest.approx(expected)
    assert tuple(mean_interval(np.array([0.5]), alone(1), 0.05)) == (-inf, inf)
    assert tuple(mean_interval(np.full(3, 0.5), alone(3), 0.05)) == (0.5, 0.5)


@laws
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=3, max_size=12))
def test_the_interval_of_a_mean_reaches_farther_towards_the_long_tail(values: list[float]) -> None:
    found = mean_interval(np.array(values), alone(len(values)), 0.05)
    center = float(np.mean(values))
    reach = (found.high - center) - (center - found.low)
    skewness = float(np.sum((np.array(values) - center) ** 3))
    assert reach * skewness >= -1e-9
    mirrored = mean_interval(-np.array(values), alone(len(values)), 0.05)
    assert (-mirrored.high, -mirrored.low) == pytest.approx(tuple(found))


@pytest.mark.parametrize(("n", "level"), [(20, 0.5), (100, 0.5), (100, 0.95), (299, 0.99)])
def test_the_bounds_of_a_quantile_are_order_statistics_of_the_binomial(
    n: int, level: float
) -> None:
    low, high = quantile_interval(
        [[float(rank)] for rank in range(1, n + 1)], alone(n), level, 0.05
    )
    assert oracle.binom.cdf(low - 1, n, level) <= 0.05 < oracle.binom.cdf(low, n, level)
    assert oracle.binom.sf(high - 1, n, level) <= 0.05 < oracle.binom.sf(high - 2, n, level)


def test_a_quantile_that_the_trials_do_not_reach_has_no_upper_bound() -> None:
    assert trials_for_bounds(0.99, 0.05) == 299
    assert (
        quantile_interval([[float(rank)] for rank in range(298)], alone(298), 0.99, 0.05).high
        == inf
    )
    assert (
        quantile_interval([[float(rank)] for rank in range(299)], alone(299), 0.99, 0.05).high
        == 298
    )


def test_trials_of_one_case_do_not_narrow_a_quantile_like_trials_of_many() -> None:
    few = [[float(case)] * 10 for case in range(20)]
    many = [[float(rank // 10)] for rank in range(200)]
    wide, narrow = (quantile_interval(rows, alone(len(rows)), 0.5, 0.05) for rows in (few, many))
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.parametrize("level", [0.0, 0.25, 0.5, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_quantiles_are_numpys(size: int, level: float) -> None:
    values = np.random.default_rng(size).normal(size=size)
    assert quantile(values.tolist(), level) == pytest.approx(np.quantile(values, level))


@laws
@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=30), st.randoms())
def test_a_mean_does_not_depend_on_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    assert mean(values) == mean(shuffled)


DESIGN = Design(cases=100, base_trials=10, trials=3, mean=0.8, noise=0.1)
DEMAND = DropLimits(alpha=0.05, max_drop=0.02, tolerated=0.05)


def test_the_formula_for_power_is_that_of_simulating_the_plain_test() -> None:
    rng = np.random.default_rng(6)
    rates = rng.choice([1.0, 0.9, 0.75, 0.5, 0.25], 100, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    noise, drop, runs = float(np.mean(rates * (1 - rates))), 0.06, 4000
    design = Design(cases=100, base_trials=10, trials=2, mean=float(rates.mean()), noise=noise)
    base = rng.binomial(10, rates, (runs, 100)) / 10
    candidate = rng.binomial(2, rates * (1 - drop / rates.mean()), (runs, 100)) / 2
    share = (base * 10 + candidate * 2) / 12
    se = np.sqrt(np.mean(share * (1 - share) * 12 / 11, axis=1) * 0.6 / 100)
    delta = np.mean(candidate - base, axis=1)
    found = np.mean((delta <= -z_quantile(0.05) * se) & (delta <= -0.02))
    assert chance_to_fail(design, DEMAND, drop) == pytest.approx(found, abs=0.02)


def test_the_smallest_drop_is_where_the_power_is_what_was_asked() -> None:
    drop = find_detectable_drop(DESIGN, DEMAND)
    assert drop is not None
    assert chance_to_fail(DESIGN, DEMAND, drop) == pytest.approx(0.8, abs=1e-6)
    assert (
        find_detectable_drop(Design(cases=2, base_trials=1, trials=1, mean=0.5, noise=0.25), DEMAND)
        is None
    )
    assert (
        find_detectable_drop(Design(cases=9, base_trials=1, trials=1, mean=0.0, noise=0.1), DEMAND)
        is None
    )


@laws
@given(st.integers(5, 300), st.integers(1, 10), st.integers(1, 5), st.floats(0.01, 0.25))
def test_more_of_anything_sees_smaller_drops(
    cases: int, base_trials: int, trials: int, noise: float
) -> None:
    def seen(n: int, m: int, k: int) -> float:
        design = Design(cases=n, base_trials=m, trials=k, mean=0.7, noise=noise)
        return find_detectable_drop(design, DEMAND) or inf

    here = seen(cases, base_trials, trials)
    assert seen(2 * cases, base_trials, trials) <= here
    assert seen(cases, base_trials + 5, trials) <= here
    assert seen(cases, base_trials, trials + 1) <= here


def test_more_trials_decide_and_the_fewest_that_do_are_named() -> None:
    design = Design(cases=100, base_trials=10, trials=1, mean=0.8, noise=0.06)
    trials, chance = trials_to_decide(design, DEMAND, 0.0)
    assert trials > 1
    assert chance >= 0.8 > chance_to_decide(design, DEMAND, 0.0, trials - 1)
    hopeless = Design(cases=10, base_trials=1, trials=1, mean=0.5, noise=0.2)
    assert trials_to_decide(hopeless, DEMAND, -0.04)[1] < 0.8


@pytest.mark.parametrize(
    ("chance", "alpha", "text"),
    [
        (0.0025, 0.05, "about 1 time in 400"),
        (0.05, 0.05, "about 1 time in 20"),
        (0.0499, 0.05, "about 1 time in 20"),
        (0.0501, 0.05, "about 1 time in 19"),
        (0.2, 0.05, "about 1 time in 5"),
        (0.000123, 0.05, "about 1 time in 8,100"),
        (1e-9, 0.05, "less than 1 time in a million"),
        (0.5, 0.05, "about every other time"),
        (0.9, 0.05, "more often than not"),
    ],
)
def test_odds_are_said_on_the_side_of_alpha_where_they_are(
    chance: float, alpha: float, text: str
) -> None:
    assert format_odds(chance, alpha) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.714, "", "71.4%"),
        (1.2345, "s", "1.23 s"),
        (0.0123456, "s", "0.0123 s"),
        (1234.5, "tokens", "1,234 tokens"),
        (0.0, "s", "0 s"),
        (0.7, "usd", "$0.700"),
        (12.0, "usd", "$12.00"),
    ],
)
def test_values_are_said_in_their_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("change", "unit", "text"),
    [(-0.054, "", "-5.4 pt"), (0.2, "s", "+20.0%"), (-0.0001, "", "0.0 pt"), (0.0, "s", "0.0%")],
)
def test_changes_have_a_sign_unless_they_read_zero(change: float, unit: str, text: str) -> None:
    assert format_change(change, unit) == text


@laws
@given(st.floats(0, 1), st.floats(0, 1))
def test_two_numbers_that_differ_enough_never_read_the_same(a: float, b: float) -> None:
    def spell(number: float, digits: int) -> str:
        return format_value(number, "", digits)

    digits = find_distinct_digits([(a, b)], spell)
    if abs(a - b) > 1e-8:
        assert spell(a, digits) != spell(b, digits)


def test_what_is_missing_is_counted_in_words() -> None:
    assert format_missing({"agent_error": 4, "judge_error": 1, "not_run": 2, "unscored": 0}) == (
        "4 agent errors, 1 judge error, 2 not run"
    )


@laws
@given(st.integers(2, 40), st.floats(0.01, 0.3))
def test_the_standard_error_is_that_of_equal_designs(cases: int, rate: float) -> None:
    passes = round(10 * rate)
    test = compare_passes(counts([(10 - passes, 10, 1, 1)] * cases))
    share = (11 - passes) / 11
    noise = max(share * (1 - share) * 11 / 10, 0.25 / cases)
    assert test.se == pytest.approx(sqrt(noise * 1.1 / cases))
