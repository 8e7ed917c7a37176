"""Graded scores and clustered cases: what the gate makes of an agent that did not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import Check
from evalkit.core.run import MetricInfo, Run
from evalkit.gate.decide import decide_gate
from evalkit.stats.distributions import Floats
from tests.support.run_samples import counted, make_run

IDS = [f"case-{number:02}" for number in range(60)]
JUDGED = MetricInfo(name="quality")
NO_DROP = Rule(metric="quality", max_drop=0.0)


def check_of(rule: Rule, candidate: Run, base: Run | None = None) -> Check:
    return decide_gate([rule], candidate, base, max_errors=0, on_inconclusive="pass").checks[0]


def scored(rows: Floats) -> Run:
    return make_run({"quality": dict(zip(IDS, rows.tolist(), strict=False))}, infos=[JUDGED])


def in_clusters(run: Run, size: int) -> Run:
    cases = tuple(
        replace(case, cluster=f"document {index // size}")
        for index, case in enumerate(run.header.cases)
    )
    return replace(run, header=replace(run.header, cases=cases))


def test_rare_successes_that_an_unchanged_agent_missed_are_no_drop() -> None:
    rng = np.random.default_rng(10)
    draws = 300
    failed = 0
    for _ in range(draws):
        # Now and then good: ten trials have a success that one trial seldom has, and none is worse.
        before, after = (np.where(rng.random((30, trials)) < 0.03, 0.9, 0.1) for trials in (10, 1))
        failed += check_of(NO_DROP, scored(after), scored(before)).outcome == "fail"
    # Three standard errors of a share of .05 among 300 are .038.
    assert failed / draws <= 0.05 + 0.038


def test_a_few_broken_cases_of_steady_ones_are_proven_within_the_printed_interval() -> None:
    rng = np.random.default_rng(4)
    before = rng.normal(0.8, 0.02, (50, 10)).clip(0, 1)
    after = rng.normal(0.8, 0.02, (50, 1)).clip(0, 1)
    after[:4] = 0.1
    check = check_of(replace(NO_DROP, max_drop=0.02), scored(after), scored(before))
    assert check.outcome == "fail"
    assert check.p_value is not None
    assert check.p_value < 0.01
    # What is printed beside a fail excludes 0.
    assert check.high is not None
    assert check.high < 0
    assert {hit.case_id for hit in check.hits[:4]} == set(IDS[:4])


def test_a_large_drop_is_not_ruled_out_by_scores_that_seldom_fail() -> None:
    steady = scored(np.full((20, 10), 0.9))
    check = check_of(NO_DROP, scored(np.full((20, 1), 0.9)), steady)
    # A share of .05 of all trials may fail, and 20 of them show none one time in three.
    assert check.outcome == "inconclusive"
    assert check.to_decide.startswith("Set `trials: 7` (140 runs): an agent that did not")
    again = check_of(NO_DROP, scored(np.full((20, 5), 0.9)), steady)
    assert again.outcome == "pass"


def test_a_rise_is_tested_like_a_drop_of_the_distance_to_one() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.beta(2, 5, (40, 5)), rng.beta(2.4, 5, (40, 2))
    rise = check_of(Rule(metric="quality", max_rise=0.0), scored(after), scored(before))
    drop = check_of(NO_DROP, scored(1 - after), scored(1 - before))
    assert rise.p_value == pytest.approx(drop.p_value, abs=1e-3)
    assert (rise.low, rise.high) == pytest.approx((-drop.high, -drop.low))  # type: ignore[operator] # both have bounds
    assert rise.outcome == drop.outcome


def test_a_limit_on_clusters_is_as_sure_as_their_number() -> None:
    # Whole documents fail, so sixty cases are ten draws.
    run = make_run({"accuracy": counted({c: (int(at >= 6), 1) for at, c in enumerate(IDS)})})
    rule = Rule(metric="accuracy", min=0.80)
    alone, clustered = check_of(rule, run), check_of(rule, in_clusters(run, 6))
    assert (alone.outcome, clustered.outcome) == ("pass", "inconclusive")
    assert "(90% interval 60.6% to 99.5%; 60 cases in 10 clusters, 60 trials)" in clustered.sentence
    assert "clusters (60 cases in 10 clusters now) would decide" in clustered.to_decide
    few = check_of(rule, in_clusters(run, 30))
    assert few.outcome == "inconclusive"
    assert few.low is not None
    assert few.low < 0.4


def test_a_limit_on_seconds_takes_clusters_for_draws_too() -> None:
    rng = np.random.default_rng(7)
    documents = np.repeat(rng.normal(1.0, 0.3, 10), 6) + rng.normal(0, 0.02, 60)
    latency = MetricInfo(name="latency_s", unit="s", higher_is_better=False)
    run = make_run(
        {"latency_s": {c: [float(s)] for c, s in zip(IDS, documents, strict=True)}},
        infos=[latency],
    )
    widths = []
    for rule in (Rule(metric="latency_s", max=1.2), Rule(metric="latency_s", stat="p50", max=1.2)):
        alone, clustered = check_of(rule, run), check_of(rule, in_clusters(run, 6))
        assert alone.high is not None
        assert clustered.high is not None
        widths.append((clustered.high - rule_value(clustered)) / (alone.high - rule_value(alone)))
    assert min(widths) > 1.5


def rule_value(check: Check) -> float:
    assert check.candidate is not None
    return check.candidate
