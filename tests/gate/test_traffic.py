"""Thresholds weighed by traffic: what they estimate, how often they are wrong, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evalkit.core.eval_set import Rule, TrafficMix
from evalkit.core.gate_result import Check
from evalkit.core.run import Run
from evalkit.gate.decide import decide_gate
from tests.support.run_samples import make_run


def make_mix(shares: dict[str, float], **changes: Any) -> TrafficMix:
    mix = TrafficMix(
        requests=5000, draws=2000, since="2026-11-01", until="2026-11-28", method="grams",
        at_least=0.35, unmatched=1 - sum(shares.values()), shares=shares,
    )  # fmt: skip
    return replace(mix, **changes)


def decide(rule: Rule, candidate: Run, baseline: Run) -> Check:
    [check] = decide_gate([rule], candidate, baseline, max_errors=0, on_inconclusive="pass").checks
    return check


def draw_run(rates: np.ndarray, trials: int, rng: np.random.Generator, name: str) -> Run:
    cells = rng.random((rates.size, trials)) < rates[:, None]
    rows = {f"c{number}": row for number, row in enumerate(cells.astype(float).tolist())}
    return make_run({"accuracy": rows}, run_id=name)


def draw_mix(cases: int, rng: np.random.Generator) -> TrafficMix:
    """A mix in which a few cases have most of the traffic, and 30 % resembles none."""
    shares = 0.7 * rng.dirichlet(np.full(cases, 0.4))
    return make_mix({f"c{number}": float(share) for number, share in enumerate(shares)})


def test_an_unchanged_agent_fails_at_most_at_alpha() -> None:
    rng = np.random.default_rng(2)
    failed = 0
    for _ in range(60):
        rates = rng.beta(0.6, 0.3, 30)
        rule = Rule(
            metric="accuracy", max_drop=0.0, alpha=0.2, estimand="traffic", mix=draw_mix(30, rng)
        )
        check = decide(rule, draw_run(rates, 1, rng, "now"), draw_run(rates, 5, rng, "base"))
        failed += check.outcome == "fail"
    # At a level of 20 %, 60 runs fail more than 22 times with a probability below .1 %.
    assert failed <= 22


def test_the_interval_covers_the_change_that_traffic_sees() -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(60):
        before = rng.beta(0.6, 0.3, 40)
        after = before * (1 - 0.3 * (rng.random(40) < 0.4))
        mix = draw_mix(40, rng)
        weights = np.array(list(mix.shares.values())) / 0.7
        rule = Rule(metric="accuracy", max_drop=0.02, alpha=0.05, estimand="traffic", mix=mix)
        check = decide(rule, draw_run(after, 2, rng, "now"), draw_run(before, 4, rng, "base"))
        assert check.low is not None
        assert check.high is not None
        missed += not check.low <= float(weights @ (after - before)) <= check.high
    # Each bound may be wrong in 5 %; 60 intervals miss more than 14 times with a probability below .1 %.
    assert missed <= 14


BASE = make_run({"accuracy": {f"c{n}": [1.0, 1.0] for n in range(20)}}, run_id="base")
NOW = make_run({"accuracy": {f"c{n}": [float(n > 3)] * 2 for n in range(20)}}, run_id="now")
EVEN = {f"c{n}": 0.05 for n in range(20)}


def test_equal_shares_give_the_plain_change_and_its_test() -> None:
    rule = Rule(metric="accuracy", max_drop=0.02, estimand="traffic", mix=make_mix(EVEN))
    weighed = decide(rule, NOW, BASE)
    users = decide(replace(rule, estimand="users", mix=None), NOW, BASE)
    assert weighed.difference == pytest.approx(users.difference)
    assert weighed.outcome == users.outcome
    # What nobody asks does not count.
    unasked = {**EVEN, **{f"c{n}": 0.0 for n in range(4)}}
    rule = replace(rule, mix=make_mix(unasked))
    assert decide(rule, NOW, BASE).difference == pytest.approx(0)


@pytest.mark.parametrize(
    ("mix", "why"),
    [
        (None, "no weights of traffic are stored"),
        (make_mix(EVEN, draws=20), "worth 20 independent ones"),
        (make_mix({f"c{n}": 0.05 for n in range(17)}), "3 of 20 cases have no weight"),
        (make_mix({**dict.fromkeys(EVEN, 0.0), "gone": 0.9}), "no request resembles any"),
        (
            make_mix({**dict.fromkeys(EVEN, 0.02), "gone": 0.5}),
            "resemble one that was not compared, such as 'gone'",
        ),
    ],
)
def test_without_good_weights_nothing_passes(mix: TrafficMix | None, why: str) -> None:
    rule = Rule(metric="accuracy", max_drop=0.02, estimand="traffic", mix=mix)
    for candidate in (NOW, replace(BASE, header=replace(BASE.header, id="same"))):
        check = decide(rule, candidate, BASE)
        assert check.outcome == "undecided"
        assert why in check.sentence
