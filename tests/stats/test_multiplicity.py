"""Several thresholds together fail an unchanged agent no more often than one alone."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import (  # type: ignore[import-untyped] # ships no types
    multipletests,
)

from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import Check
from evalkit.gate.decide import decide_gate
from evalkit.stats.multiplicity import holm_levels
from tests.support.run_samples import counted, make_run

IDS = [f"case-{number:02}" for number in range(60)]
NAMES = ("first", "second", "third")

p_values = st.floats(0, 1)
levels = st.floats(1e-6, 0.4)


def reject_by_statsmodels(found: Sequence[float], alpha: float) -> list[bool]:
    """Spare its call of `gc.collect()` all objects of the test run, which take half a second."""
    gc.freeze()
    try:
        rejected, *_ = multipletests(found, alpha, method="holm")
    finally:
        gc.unfreeze()
    return [bool(each) for each in rejected]


@given(st.lists(p_values, min_size=1, max_size=8), levels)
def test_at_one_alpha_the_same_are_rejected_as_by_statsmodels(
    found: list[float], alpha: float
) -> None:
    held_to = holm_levels(found, [alpha] * len(found))
    rejected = [p <= level for p, level in zip(found, held_to, strict=True)]
    expected = reject_by_statsmodels(found, alpha)
    # It computes with 1 - p, and differs where a p-value lies on its level.
    if all(abs(p - level) > 1e-9 for p, level in zip(found, held_to, strict=True)):
        assert rejected == expected


@given(st.lists(st.tuples(p_values, levels), min_size=1, max_size=8))
def test_a_level_is_at_least_the_even_share_and_at_most_alpha(
    found: list[tuple[float, float]],
) -> None:
    held_to = holm_levels(*map(list, zip(*found, strict=True)))
    for level, (_, alpha) in zip(held_to, found, strict=True):
        assert alpha / len(found) <= level <= alpha


@given(st.lists(st.tuples(p_values, levels), min_size=2, max_size=8), st.data())
def test_a_smaller_p_takes_no_rejection_away(
    found: list[tuple[float, float]], data: st.DataObject
) -> None:
    def rejected(rows: list[tuple[float, float]]) -> list[bool]:
        held_to = holm_levels(*map(list, zip(*rows, strict=True)))
        return [p <= level for (p, _), level in zip(rows, held_to, strict=True)]

    at = data.draw(st.integers(0, len(found) - 1))
    p, alpha = found[at]
    smaller = [*found]
    smaller[at] = (p * data.draw(st.floats(0, 1)), alpha)
    before, after = rejected(found), rejected(smaller)
    assert all(now or not was for was, now in zip(before, after, strict=True))


def test_the_chance_of_any_false_rejection_is_the_largest_alpha_at_most() -> None:
    rng = np.random.default_rng(5)
    alphas = [0.01, 0.05, 0.05, 0.10]
    draws = 4000
    any_false = 0
    for row in rng.random((draws, len(alphas))).tolist():
        row[0] = 0.0  # one that is false, and always rejected
        levels = holm_levels(row, alphas)
        any_false += any(p <= level for p, level in zip(row[1:], levels[1:], strict=True))
    # Three standard errors of a share of .10 among 4,000 are .014.
    assert any_false / draws <= 0.10 + 0.014
    assert any_false / draws >= 0.04


WAVERING = IDS[-1]
BASE = dict.fromkeys(IDS, (2, 2)) | {WAVERING: (1, 2)}


def checks_of(broken: Sequence[int], primary: str = "") -> dict[str, Check]:
    """Three thresholds on steady cases, of which so many per metric are broken now.

    Of four broken ones p is 6/243, of five 7/729, because one that wavered passes.
    """
    after = {
        name: counted({case: (int(at >= count), 1) for at, case in enumerate(IDS)})
        for name, count in zip(NAMES, broken, strict=False)
    }
    rules = [Rule(metric=name, max_drop=0.02, primary=name == primary) for name in after]
    base = make_run({name: counted(BASE) for name in NAMES})
    verdict = decide_gate(rules, make_run(after), base, max_errors=0, on_inconclusive="pass")
    return {check.rule.metric: check for check in verdict.checks}


def test_thresholds_share_alpha_and_say_so_where_it_matters() -> None:
    alone, shared = checks_of([4])["first"], checks_of([4, 0, 0])["first"]
    assert alone.p_value == shared.p_value == pytest.approx(6 / 243)
    assert (alone.outcome, shared.outcome) == ("fail", "inconclusive")
    assert (
        "The drop is not proven: if nothing had changed, a result this bad would come up about 1 time "
        "in 40, and less than 1 time in 60 is needed (alpha 0.05 is shared by 3 thresholds)."
    ) in shared.sentence
    assert (shared.low, shared.high) == (alone.low, alone.high)


def test_the_primary_threshold_keeps_its_alpha_and_the_others_share_theirs() -> None:
    assert checks_of([4, 0, 0], primary="first")["first"].outcome == "fail"
    assert checks_of([4, 0, 0], primary="second")["first"].outcome == "fail"
    found = checks_of([4, 4, 0], primary="second")
    assert [found[name].outcome for name in NAMES] == ["fail", "fail", "pass"]
    assert checks_of([4, 4, 0])["first"].outcome == "inconclusive"


def test_a_proven_threshold_leaves_its_share_to_the_others() -> None:
    found = checks_of([4, 5, 0])
    assert [found[name].outcome for name in NAMES] == ["fail", "fail", "pass"]


@pytest.mark.parametrize("test", ["exact", "point"])
def test_what_does_not_fail_by_a_test_takes_no_share(test: str) -> None:
    base = make_run({"first": counted(dict.fromkeys(IDS, (2, 2)))})
    after = make_run({"first": counted({c: (int(at >= 3), 1) for at, c in enumerate(IDS)})})
    rule = Rule(metric="first", max_drop=0.02)
    others = [
        replace(rule, test="point"),
        Rule(metric="first", min=0.1),
        Rule(max_regressed=60),
    ]
    verdict = decide_gate(
        [rule, *others] if test == "exact" else [*others, rule],
        after,
        base,
        max_errors=0,
        on_inconclusive="pass",
    )
    (check,) = [check for check in verdict.checks if check.rule == rule]
    assert check.outcome == "fail"
