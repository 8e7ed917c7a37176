"""The association of features with failing cases: exact, against scipy and by counting every choice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from evalkit.stats.association import adjust_associations, fisher_upper


@given(st.integers(1, 60), st.data())
def test_p_is_that_of_fishers_exact_test(total: int, data: st.DataObject) -> None:
    failing = data.draw(st.integers(0, total))
    size = data.draw(st.integers(0, total))
    both = data.draw(st.integers(max(0, size + failing - total), min(size, failing)))
    table = np.array([[both, size - both], [failing - both, total - size - failing + both]])
    expected = fisher_exact(table, alternative="greater").pvalue
    assert fisher_upper(both, size, failing, total) == pytest.approx(expected, rel=1e-9)


def test_p_of_large_sets_is_exact_enough() -> None:
    table = np.array([[40, 200], [460, 9300]])
    expected = fisher_exact(table, alternative="greater").pvalue
    assert fisher_upper(40, 240, 500, 10_000) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("failures", range(1, 9))
def test_no_feature_is_named_too_often_whichever_cases_fail(failures: int) -> None:
    """All choices of the failing cases are counted, so that the size is exact and not simulated."""
    rng = np.random.default_rng(7)
    for _ in range(4):
        features = {
            name: frozenset(np.flatnonzero(rng.random(11) < rng.random()).tolist())
            for name in range(6)
        }
        named = total = 0
        for chosen in combinations(range(11), failures):
            failing = [index in chosen for index in range(11)]
            named += min(adjust_associations(failing, features, 0.05).values()) <= 0.05
            total += 1
        assert named <= 0.05 * total


def test_features_that_few_cases_have_cost_no_power() -> None:
    failing = [True] * 6 + [False] * 14
    alone = {"real": frozenset(range(6))}
    rare = {f"rare {index}": frozenset([index]) for index in range(20)}
    both = adjust_associations(failing, {**alone, **rare}, 0.05)
    assert both["real"] == adjust_associations(failing, alone, 0.05)["real"] < 1e-4
    assert all(both[name] > 0.05 for name in rare)
