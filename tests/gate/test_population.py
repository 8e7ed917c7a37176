"""The two questions of a comparison: did these cases get worse, and would others like them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.eval_set import Case, Rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.literals import Stat
from evalkit.core.run import MetricInfo, Run
from evalkit.gate.decide import decide_gate
from evalkit.gate.population import estimate_for_users
from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval
from evalkit.stats.sign_flip_test import ClusterTest, SignFlipTest
from tests.support.run_samples import counted, make_run

IDS = [f"case-{number:02}" for number in range(60)]
RULE = Rule(metric="accuracy", max_drop=0.02)

harms_of_cases = st.lists(
    st.floats(-1, 1).map(lambda harm: round(harm, 3)), min_size=2, max_size=12
)


def cases_in(clusters: Sequence[str | None]) -> list[Case]:
    return [
        Case(id=str(index), input="?", cluster=cluster) for index, cluster in enumerate(clusters)
    ]


def judged(rule: Rule, candidate: Run, base: Run) -> GateResult:
    return decide_gate([rule], candidate, base, max_errors=0, on_inconclusive="pass")


def in_clusters(run: Run, size: int) -> Run:
    """The same run, its cases so many to a cluster."""
    cases = tuple(
        replace(case, cluster=f"document {index // size}")
        for index, case in enumerate(run.header.cases)
    )
    return replace(run, header=replace(run.header, cases=cases))


def broken_in_one_place(size: int, estimand: Literal["suite", "users"]) -> Check:
    """Sixty steady cases of which the first six are broken, by clusters of so many."""
    base = make_run({"accuracy": counted(dict.fromkeys(IDS, (10, 10)))})
    after = make_run({"accuracy": counted({c: (int(at >= 6), 1) for at, c in enumerate(IDS)})})
    rule = replace(RULE, estimand=estimand)
    return judged(rule, in_clusters(after, size), in_clusters(base, size)).checks[0]


ANY, NO_EVIDENCE = Interval(0.0, 0.0), SignFlipTest(p_value=0.0, smallest_p=0.0)


def for_users(clusters: Sequence[str], harms: Floats) -> ClusterTest:
    """The result for other cases, apart from the interval and the test for these cases."""
    return estimate_for_users(cases_in(clusters), harms, 0.05, suite=ANY, suite_test=NO_EVIDENCE)


@given(harms_of_cases, st.randoms())
def test_the_order_of_cases_does_not_matter(harms: list[float], random: object) -> None:
    clusters = [str(index % 3) for index in range(len(harms))]
    order = list(range(len(harms)))
    random.shuffle(order)  # type: ignore[attr-defined] # a random.Random, which hypothesis hides
    straight = for_users(clusters, np.array(harms))
    mixed = for_users([clusters[index] for index in order], np.array(harms)[order])
    assert mixed.test.p_value == pytest.approx(straight.test.p_value)
    assert mixed.bounds == pytest.approx(straight.bounds)


@given(harms_of_cases)
def test_copies_of_a_case_in_one_cluster_prove_nothing_more(harms: list[float]) -> None:
    values = np.array(harms)
    once = for_users([str(at) for at in range(values.size)], values)
    twice = for_users([str(at) for at in range(values.size)] * 2, np.tile(values, 2))
    assert twice.clusters == once.clusters
    assert twice.test.p_value == pytest.approx(once.test.p_value)
    assert twice.bounds == pytest.approx(once.bounds)


@given(harms_of_cases, st.floats(0, 1))
def test_other_cases_are_never_surer_than_these(harms: list[float], p_value: float) -> None:
    suite = Interval(-0.1, 0.2)
    found = estimate_for_users(
        cases_in([str(at) for at in range(len(harms))]),
        np.array(harms),
        0.05,
        suite=suite,
        suite_test=SignFlipTest(p_value=p_value, smallest_p=0.01),
    )
    assert found.test.p_value >= p_value
    assert found.test.smallest_p >= 0.01
    assert found.bounds.low <= suite.low
    assert found.bounds.high >= suite.high


def test_breakage_in_one_cluster_is_proven_for_the_suite_and_not_for_users() -> None:
    suite, users = broken_in_one_place(6, "suite"), broken_in_one_place(6, "users")
    assert (suite.outcome, users.outcome) == ("fail", "inconclusive")
    assert suite.users is not None
    assert users.users is None
    assert suite.users.p_value == users.p_value
    assert (suite.users.low, suite.users.high) == (users.low, users.high)
    assert suite.users.clusters == 10
    assert "for other cases like these; 60 cases in 10 clusters, 10 baseline" in users.sentence


def test_cases_that_never_differed_leave_other_cases_as_unsure_as_these() -> None:
    steady = make_run({"accuracy": counted(dict.fromkeys(IDS, (10, 10)))})
    check = judged(RULE, steady, steady).checks[0]
    assert check.users is not None
    assert (check.users.low, check.users.high) == (check.low, check.high)
    assert check.high


def test_breakage_spread_over_clusters_is_proven_for_users_too() -> None:
    assert broken_in_one_place(1, "users").outcome == "fail"


def test_the_other_answer_stands_beside_the_first() -> None:
    base = make_run({"accuracy": counted(dict.fromkeys(IDS, (10, 10)))})
    after = make_run({"accuracy": counted({c: (int(at >= 6), 1) for at, c in enumerate(IDS)})})
    notes = judged(RULE, in_clusters(after, 6), in_clusters(base, 6)).notes
    assert notes[1] == (
        "accuracy: on other cases like these (60 cases in 10 clusters) -10.0 pt (90% interval -37.6 to "
        "+8.3); if nothing had changed on the whole, a result this bad would come up at most 1 time in 4."
    )
    alone = judged(replace(RULE, estimand="users"), after, base)
    assert not any("other cases" in note for note in alone.notes)


def test_an_unchanged_agent_fails_users_question_one_time_in_twenty_at_most() -> None:
    rng = np.random.default_rng(3)
    draws, failed = 400, 0
    rule = replace(RULE, estimand="users", max_drop=0.0)
    for _ in range(draws):
        rates = rng.beta(0.4, 0.2, 40)
        base, after = (
            make_run(
                {
                    "accuracy": counted(
                        dict(zip(IDS, ((int(c), k) for c in rng.binomial(k, rates)), strict=False))
                    )
                }
            )
            for k in (10, 1)
        )
        failed += judged(rule, after, base).outcome == "fail"
    # Three standard errors of a share of .05 among 400 are .033.
    assert failed / draws <= 0.05 + 0.033


LATENCY = MetricInfo(name="latency_s", unit="s", higher_is_better=False, digest="d")
SLOWER = Rule(metric="latency_s", max_rise=0.2)


def latencies(seconds: float, spread: float = 0.02) -> Run:
    rng = np.random.default_rng(round(1000 * seconds))
    rows = {case: (seconds * np.exp(rng.normal(0, spread, 3))).tolist() for case in IDS}
    return make_run({"latency_s": rows}, infos=[LATENCY])


@pytest.mark.parametrize("stat", ["mean", "p50", "p95"])
@pytest.mark.parametrize("test", ["exact", "point"])
@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        pytest.param(0.2, 0.4, "pass", id="much as a share, little in seconds"),
        pytest.param(4.0, 4.6, "pass", id="little as a share, much in seconds"),
        pytest.param(1.0, 2.0, "fail", id="much as both"),
    ],
)
def test_a_rise_fails_only_when_it_is_large_as_a_share_and_in_its_unit(
    before: float, after: float, outcome: str, test: Literal["exact", "point"], stat: Stat
) -> None:
    rule = replace(SLOWER, and_at_least=0.5, test=test, stat=stat)
    check = judged(rule, latencies(after), latencies(before)).checks[0]
    assert check.outcome == outcome
    if (before, outcome) == (0.2, "pass"):
        assert "rise of 0.5 s" in check.sentence
    elif outcome == "pass":
        assert "rise of 20%" in check.sentence


def test_a_drop_of_more_than_there_is_never_fails() -> None:
    rule = Rule(metric="latency_s", max_drop=0.1, and_at_least=2.0)
    check = judged(rule, latencies(0.1), latencies(1.0)).checks[0]
    assert check.outcome == "pass"
    assert "drop of 2 s is ruled out" in check.sentence


def test_an_absolute_excess_is_refused_for_a_share() -> None:
    base = make_run({"accuracy": counted(dict.fromkeys(IDS, (9, 10)))})
    check = judged(replace(RULE, and_at_least=0.5), base, base).checks[0]
    assert check.outcome == "undecided"
    assert "and_at_least is for metrics with a unit" in check.sentence


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.001, 5))
def test_an_absolute_excess_only_ever_allows_more(
    before: float, after: float, excess: float
) -> None:
    strict, lenient = (
        judged(rule, latencies(after), latencies(before)).checks[0].outcome
        for rule in (SLOWER, replace(SLOWER, and_at_least=excess))
    )
    order = ("pass", "inconclusive", "fail")
    assert order.index(lenient) <= order.index(strict)
