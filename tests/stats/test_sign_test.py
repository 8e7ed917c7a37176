"""The sign test and the interval of the net share, against scipy and by their properties."""

from __future__ import annotations

from math import log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, norm

from evalkit.stats.sign_test import find_rejection_rate, net_share_interval, run_sign_test

COUNTS = st.integers(min_value=0, max_value=400)


@given(COUNTS, COUNTS)
def test_the_p_value_is_the_binomial_mid_p(wins: int, losses: int) -> None:
    decided = wins + losses
    exact = binom.sf(losses, decided, 0.5) + binom.pmf(losses, decided, 0.5) / 2
    found = run_sign_test(wins, losses)
    assert found.p_value == pytest.approx(exact, rel=1e-9, abs=1e-300)
    assert found.smallest_p == pytest.approx(run_sign_test(0, decided).p_value)


@given(COUNTS, COUNTS)
def test_one_more_loss_never_raises_the_p_value(wins: int, losses: int) -> None:
    now = run_sign_test(wins, losses).p_value
    assert run_sign_test(wins, losses + 1).p_value <= now <= run_sign_test(wins + 1, losses).p_value
    if wins:
        assert run_sign_test(wins - 1, losses + 1).p_value <= now


@given(COUNTS, COUNTS)
def test_the_p_values_of_both_sides_sum_to_one(wins: int, losses: int) -> None:
    both = run_sign_test(wins, losses).p_value + run_sign_test(losses, wins).p_value
    assert both == pytest.approx(1.0)


@pytest.mark.parametrize("decided", [0, 3, 4, 20, 90])
def test_the_rejection_rate_is_exact(decided: int) -> None:
    rejected = [
        losses
        for losses in range(decided + 1)
        if run_sign_test(decided - losses, losses).p_value <= 0.05
    ]
    exact = float(sum(binom.pmf(losses, decided, 0.5) for losses in rejected))
    assert find_rejection_rate(decided, 0.05) == pytest.approx(exact)
    assert exact < 0.07


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[int, int, int]:
    pairs = draw(st.integers(min_value=1, max_value=200))
    wins = draw(st.integers(min_value=0, max_value=pairs))
    return wins, draw(st.integers(min_value=0, max_value=pairs - wins)), pairs


@given(outcomes())
def test_the_interval_holds_the_estimate_and_turns_with_the_sides(
    counted: tuple[int, int, int],
) -> None:
    wins, losses, pairs = counted
    low, high = net_share_interval(wins, losses, pairs, 0.05)
    assert -1 <= low <= (wins - losses) / pairs + 1e-9
    assert (wins - losses) / pairs - 1e-9 <= high <= 1
    other = net_share_interval(losses, wins, pairs, 0.05)
    assert other.low == pytest.approx(-high, abs=1e-9)
    assert other.high == pytest.approx(-low, abs=1e-9)


@pytest.mark.parametrize(("wins", "losses", "pairs"), [(5, 15, 100), (1, 9, 30), (12, 3, 44)])
def test_the_interval_inverts_the_score_test(wins: int, losses: int, pairs: int) -> None:
    """The share of losses is found by maximizing the likelihood, not by the closed form."""

    def score(difference: float) -> float:
        def negative_likelihood(share: float) -> float:
            chances = (share + difference, share, 1 - 2 * share - difference)
            counts = (wins, losses, pairs - wins - losses)
            return -sum(
                count * (-1e9 if chance <= 0 else log(chance))
                for count, chance in zip(counts, chances, strict=True)
                if count
            )

        low, high = max(0.0, -difference), (1 - difference) / 2
        share = minimize_scalar(
            negative_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        variance = pairs * (2 * share + difference * (1 - difference))
        return (wins - losses - pairs * difference) / sqrt(variance)

    z = float(norm.ppf(0.95))
    center = (wins - losses) / pairs
    low, high = net_share_interval(wins, losses, pairs, 0.05)
    assert low == pytest.approx(brentq(lambda d: score(d) - z, -0.99, center), abs=1e-5)
    assert high == pytest.approx(brentq(lambda d: score(d) + z, center, 0.99), abs=1e-5)
