"""Which metrics predict what users of the deployed versions saw, and which thresholds ever decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evalkit.compare.history import HistoryMetric, HistoryResult, HistoryRow, HistoryThreshold
from evalkit.core.literals import Outcome
from evalkit.stats.concordance import estimate_concordance, permute_concordance
from evalkit.traffic.measures import find_measure
from evalkit.traffic.validation import Validation, is_of_version, validate_gate
from evalkit.traffic.version_outcomes import sum_outcomes


def make_row(number: int, outcomes: Sequence[Outcome] = (), **means: float) -> HistoryRow:
    thresholds = tuple(
        HistoryThreshold(name=f"t{index}", kind="min", allowed=0.5, outcome=outcome)
        for index, outcome in enumerate(outcomes)
    )
    return HistoryRow(
        id=f"run-{number}",
        created=f"2026-11-{number + 1:02d}",
        version=f"v{number}",
        evalset="shop",
        evalset_path="shop.yaml",
        metrics=tuple(
            HistoryMetric(
                metric=name, mean=mean, scored=50, higher_is_better=not name.endswith("_s")
            )
            for name, mean in means.items()
        ),
        result=HistoryResult(outcome="pass", exit_code=0, reason="", thresholds=thresholds)
        if thresholds
        else None,
    )


def validate(rates: Sequence[float], rows: Sequence[HistoryRow]) -> Validation:
    rng = np.random.default_rng(8)
    found = [
        (1000 * number + user, f"v{number}", float(good), float(4 - good))
        for number, rate in enumerate(rates)
        for user, good in enumerate(rng.binomial(4, rate, 150))
    ]
    return validate_gate("shop", find_measure("satisfaction"), rows, sum_outcomes(found))


def test_a_metric_that_orders_the_versions_like_their_users_predicts() -> None:
    rates = [0.5, 0.9, 0.6, 0.8, 0.7, 0.95]
    rows = [
        make_row(
            number,
            correct=rate - 0.1,
            latency_s=3 * rate,
            tone=(0.3, 0.5, 0.4)[number % 3],
            fixed=1.0,
        )
        for number, rate in enumerate(rates)
    ]
    found = {each.metric: each for each in validate(rates, rows).metrics}
    best = found["correct"]
    assert (best.finding, best.versions) == ("predicts", 6)
    assert best.p_value == pytest.approx(1 / 720)
    assert best.auc is not None
    assert best.low is not None
    assert 0.6 < best.low < best.auc < 0.85
    # Slower versions have the happier users, so a limit on latency would stop the wrong ones.
    assert found["latency_s"].finding == "misleads"
    assert found["latency_s"].auc == pytest.approx(1 - best.auc)
    assert found["tone"].finding == "unproven"
    assert found["fixed"].finding == "constant"
    assert found["fixed"].auc == pytest.approx(0.5)


def test_four_versions_are_too_few_however_well_they_fit() -> None:
    rates = [0.5, 0.6, 0.8, 0.9]
    found = validate(rates, [make_row(number, correct=rate) for number, rate in enumerate(rates)])
    [metric] = found.metrics
    assert metric.finding == "too few versions"
    assert metric.p_value == pytest.approx(1 / 24)


def test_a_metric_without_any_relation_is_seldom_said_to_predict() -> None:
    rng = np.random.default_rng(6)
    low = 0
    for _ in range(300):
        good, bad = rng.integers(5, 60, (2, 6)).astype(float)
        low += permute_concordance(good, bad, rng.random(6)) <= 0.1
    assert low <= 48  # at a level of 10 %, exceeded with a probability below .1 %


def test_the_interval_is_that_of_users_and_not_of_requests() -> None:
    rng = np.random.default_rng(3)
    rates, scores = np.array([0.6, 0.7, 0.8]), np.array([1.0, 2.0, 3.0])
    exact = sum(
        rates[one] * (1 - rates[other]) for one in range(3) for other in range(3) if one > other
    ) / sum(
        rates[one] * (1 - rates[other]) for one in range(3) for other in range(3) if one != other
    )
    missed = 0
    for _ in range(200):
        # Each user has one version, and is satisfied with all of 20 requests, or with none.
        version = np.arange(300) % 3
        satisfied = rng.random(300) < rates[version]
        good, bad = np.zeros((2, 300, 3))
        good[np.arange(300), version] = 20 * satisfied
        bad[np.arange(300), version] = 20 * ~satisfied
        found = estimate_concordance(good, bad, scores, 0.05)
        assert found is not None
        missed += not found.bounds.low <= exact <= found.bounds.high
    assert missed <= 36  # of 200 intervals of 90 %, exceeded with a probability below .1 %


def test_a_threshold_matters_if_a_result_would_be_another_one_without_it() -> None:
    failing: Sequence[Outcome] = ("fail", "pass", "fail")
    rows = [make_row(0, failing, correct=0.5), make_row(1, ("pass", "pass", "fail"), correct=0.5)]
    rows += [make_row(number, ("pass", "pass", "pass"), correct=0.5) for number in range(2, 11)]
    first, second, third = validate([0.5, 0.6], rows).thresholds
    assert [each.decided for each in (first, second, third)] == [0, 0, 1]
    assert [each.never_mattered for each in (first, second, third)] == [True, True, False]
    assert (first.outcomes, first.deployed) == ({"fail": 1, "pass": 10}, ("v0",))
    assert third.deployed == ("v0", "v1")
    few = validate([0.5, 0.6], rows[2:6]).thresholds
    assert [each.never_mattered for each in few] == [None, None, None]


def test_a_version_is_that_of_the_agent_or_the_beginning_of_a_commit() -> None:
    row = make_row(3)
    assert is_of_version(row, "v3")
    assert not is_of_version(row, "v")
    committed = HistoryRow(
        id="r", created="", version="x", commit="abcdef0123" * 4, evalset="s", evalset_path="s"
    )
    assert is_of_version(committed, "abcdef01")
    assert not is_of_version(committed, "abc")
