"""Agreement of two readers: the arithmetic, the intervals, and what people agree on among themselves."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa  # type: ignore[import-untyped]

from evalkit.core.labels import find_majority
from evalkit.stats.agreement import (
    agreement_of,
    cohen_kappa,
    compare_raters,
    flip_rate,
    gwet_ac1,
    level_weights,
    measure_agreement,
    weighted_kappa,
)
from tests.gate.test_error_rates import RECORDINGS

TABLES = st.lists(st.integers(0, 30), min_size=9, max_size=9).map(
    lambda counts: np.array(counts, dtype=float).reshape(3, 3)
)


def rows_of(name: str) -> list[dict[str, str]]:
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"{path} is not here: recorded judgements are kept outside of the project")
    with path.open() as stream:
        return list(csv.DictReader(stream))


# statsmodels also works out a variance, which divides by zero on some small tables.
@pytest.mark.filterwarnings("ignore::RuntimeWarning:statsmodels")
@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_kappa_is_that_of_statsmodels(table: np.ndarray) -> None:
    used = np.count_nonzero(table.sum(axis=0) + table.sum(axis=1))
    if used < 2:
        return
    theirs = cohens_kappa(table, return_results=False)
    assert float(cohen_kappa(table)) == pytest.approx(theirs)
    weighted = cohens_kappa(table, weights=np.array([0.0, 0.5, 1.0]), return_results=True).kappa
    assert float(weighted_kappa(table, level_weights([0.0, 0.5, 1.0]))) == pytest.approx(weighted)


def test_ac1_is_gwets_formula_written_out() -> None:
    table = np.array([[40.0, 9.0], [6.0, 45.0]])
    # Gwet 2008: the chance of agreement is 2 pi (1 - pi), pi the mean share of the first level.
    share = (49 / 100 + 46 / 100) / 2
    chance = 2 * share * (1 - share)
    assert float(gwet_ac1(table)) == pytest.approx((0.85 - chance) / (1 - chance))


@settings(max_examples=40, deadline=None)
@given(TABLES.filter(lambda table: table.sum() > 0))
def test_every_figure_lies_in_its_interval_and_does_not_mind_who_is_first(
    table: np.ndarray,
) -> None:
    levels, values = ("good", "fair", "bad"), (1.0, 0.5, 0.0)
    one, other = (agreement_of(each, levels, values) for each in (table, table.T))
    assert one.answers == int(table.sum())
    for name in ("accuracy", "ac1", "kappa", "weighted_kappa"):
        found, turned = getattr(one, name), getattr(other, name)
        assert (found is None) == (turned is None)
        if found is not None:
            assert found.low <= found.value <= found.high <= 1 + 1e-12
            assert found.value == pytest.approx(turned.value)


def test_perfect_agreement_on_few_answers_proves_little() -> None:
    few = measure_agreement([("yes", "yes"), ("no", "no")] * 5, ("yes", "no"), (1, 0))
    many = measure_agreement([("yes", "yes"), ("no", "no")] * 50, ("yes", "no"), (1, 0))
    assert few.kappa is not None
    assert many.kappa is not None
    assert few.kappa.value == many.kappa.value == 1.0
    assert few.kappa.high == 1.0
    assert 0.3 < few.kappa.low < 0.8
    assert 0.9 < many.kappa.low < 1.0


def test_where_one_level_is_all_that_was_given_kappa_says_nothing() -> None:
    found = measure_agreement([("yes", "yes")] * 30, ("yes", "no"), (1, 0))
    assert found.kappa is None
    assert found.weighted_kappa is None
    assert found.ac1.value == 1.0
    assert found.best_constant_level == ("yes", 1.0)


def test_half_widths_are_those_a_calibration_is_planned_by() -> None:
    """About .21, .15 and .11 at 30, 60 and 100 answers, accuracy .85 and an even base rate."""
    for answers, expected in ((30, 0.21), (60, 0.15), (100, 0.11)):
        half = answers / 2
        table = np.array([[half * 0.85, half * 0.15], [half * 0.15, half * 0.85]])
        kappa = agreement_of(table, ("yes", "no"), (1, 0)).kappa
        assert kappa is not None
        assert (kappa.high - kappa.low) / 2 == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("answers", [15, 60])
@pytest.mark.parametrize(
    "truth",
    [[[0.4, 0.1], [0.1, 0.4]], [[0.72, 0.08], [0.04, 0.16]], [[0.49, 0.01], [0.01, 0.49]]],
)
def test_intervals_hold_the_truth_nine_times_in_ten(truth: list[list[float]], answers: int) -> None:
    rng = np.random.default_rng(7)
    table = np.array(truth)
    actual = {"kappa": float(cohen_kappa(table)), "ac1": float(gwet_ac1(table))}
    held: dict[str, list[bool]] = defaultdict(list)
    for counts in rng.multinomial(answers, table.ravel(), size=150):
        found = agreement_of(counts.reshape(2, 2).astype(float), ("yes", "no"), (1, 0))
        for name, value in actual.items():
            estimate = getattr(found, name)
            if estimate is not None:
                held[name].append(estimate.low <= value <= estimate.high)
    for name, hits in held.items():
        assert np.mean(hits) >= 0.84, name


def test_people_agree_on_recorded_answers_as_is_known_and_a_judge_less() -> None:
    """Wang et al. 2023 (PandaLM): three people; GPT-3.5 against their majority."""
    rows = rows_of("judge_pandalm.csv")
    levels, values = ("0", "1", "2"), (0.0, 1.0, 2.0)
    people = {
        row["item"]: {rater: row[rater] for rater in ("human1", "human2", "human3")} for row in rows
    }
    found = compare_raters(people, levels, values)
    pairs = [each.agreement for each in found if not each.is_against_majority]
    assert len(pairs) == 3
    assert all(each.kappa and 0.845 <= each.kappa.value <= 0.885 for each in pairs)
    assert {each.rater for each in found if each.is_against_majority} == {
        "human1",
        "human2",
        "human3",
    }
    # As the file spells the judge's answers: "Tie" and "garbage" are levels that no person gives.
    spelled = (*levels, "Tie", "garbage")
    pairs_with_judge = [(row["human_majority"], row["judge_gpt35"]) for row in rows]
    judged = measure_agreement(pairs_with_judge, spelled, (0.0, 1.0, 2.0, 3.0, 4.0))
    assert judged.answers == len(rows)
    assert judged.kappa is not None
    assert judged.kappa.value == pytest.approx(0.47, abs=0.005)
    assert judged.ac1.value == pytest.approx(0.64, abs=0.005)
    majorities = {item: find_majority(given.values()) for item, given in people.items()}
    assert all(majorities[row["item"]] in (row["human_majority"], None) for row in rows)


def test_the_kappa_of_recorded_judges_is_what_counting_gives() -> None:
    rows = rows_of("judge_llmbar_natural.csv")
    by_judge: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        if row["judge_order_ab"] in ("1", "2"):
            by_judge[row["judge"]].append((row["human_label"], row["judge_order_ab"]))
    assert len(by_judge) == 44
    for pairs in list(by_judge.values())[::6]:
        total = len(pairs)
        seen = sum(first == second for first, second in pairs) / total
        chance: float = sum(
            sum(first == level for first, _ in pairs) * sum(second == level for _, second in pairs)
            for level in ("1", "2")
        )
        chance /= total**2
        found = measure_agreement(pairs, ("1", "2"), (0, 1))
        assert found.accuracy.value == pytest.approx(seen)
        if found.kappa is not None:
            assert found.kappa.value == pytest.approx((seen - chance) / (1 - chance))


def test_people_who_share_no_answer_are_not_compared() -> None:
    given = {"a": {"ann": "yes", "bob": "no"}, "b": {"cleo": "yes"}}
    found = compare_raters(given, ("yes", "no"), (1, 0))
    assert [(each.rater, each.other, each.agreement.answers) for each in found] == [
        ("ann", "bob", 1)
    ]


def test_a_tie_has_no_majority() -> None:
    assert find_majority(["yes", "no"]) is None
    assert find_majority([]) is None
    assert find_majority(["yes", "no", "yes"]) == "yes"


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), max_size=5))
def test_the_flip_rate_is_that_of_pairs_of_judgements(judgements: list[list[str]]) -> None:
    rates = []
    for levels in judgements:
        pairs = [
            first != second
            for (i, first), (j, second) in product(enumerate(levels), repeat=2)
            if i != j
        ]
        rates += [sum(pairs) / len(pairs)] if pairs else []
    found = flip_rate(judgements)
    assert (found is None) == (not rates)
    if found is not None:
        assert math.isclose(found, sum(rates) / len(rates), abs_tol=1e-12)
