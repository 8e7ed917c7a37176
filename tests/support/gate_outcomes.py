"""Runs and thresholds that make the gate say every kind of sentence that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import GateResult
from evalkit.core.run import MetricInfo, Run
from evalkit.gate.decide import decide_gate
from evalkit.report.model import Report
from tests.support.run_samples import LATENCY, counted, make_run

COST = MetricInfo(name="cost_usd", unit="usd", higher_is_better=False, digest="d")
MIXED = (1, 1, 1, 0.9, 0.7, 0.4, 0)
"""Pass rates of a usual set: most cases are stable, some are flaky, some always fail."""

DROP = Rule(metric="has", max_drop=0.02)
RISE = Rule(metric="latency_s", max_rise=0.2)
P95 = Rule(metric="latency_s", stat="p95", max_rise=0.2)
GRADED = Rule(metric="grade", max_drop=0.02)


@dataclass(frozen=True)
class Situation:
    """One threshold, or several, with a run and its baseline."""

    rules: tuple[Rule, ...]
    run: Run
    base: Run | None = None
    max_errors: int = 0

    @property
    def report(self) -> Report:
        return Report(run=self.run, gate_result=self.result, baseline=self.base)

    @property
    def result(self) -> GateResult:
        return decide_gate(
            self.rules,
            self.run,
            self.base,
            max_errors=self.max_errors,
            on_inconclusive="pass",
        )


def passes(
    rates: Sequence[float], trials: int, seed: int, cases: int = 60, **changes: object
) -> Run:
    """A run by a 0/1 metric with these pass rates, repeated over the cases."""
    rng = np.random.default_rng(seed)
    rows = {
        f"c{index:02}": [float(x) for x in rng.random(trials) < rates[index % len(rates)]]
        for index in range(cases)
    }
    return make_run({"has": rows}, **changes)  # type: ignore[arg-type] # fields of Made


def with_rows(rates: Sequence[float], trials: int, rows: Mapping[str, int], cases: int = 60) -> Run:
    """A run with exact pass rates, and other numbers of passes for some cases."""
    shares = {f"c{n:02}": round(rates[n % len(rates)] * trials) for n in range(cases)}
    return make_run(
        {"has": counted({case: (c, trials) for case, c in (shares | dict(rows)).items()})}
    )


def latencies(factor: float, trials: int, seed: int, cases: int = 60) -> Run:
    rng = np.random.default_rng(seed)
    rows = factor * np.exp(rng.normal(0, 0.4, (cases, trials)))
    return make_run(
        {"latency_s": {f"c{n:02}": row for n, row in enumerate(rows.tolist())}}, infos=[LATENCY]
    )


def costs(factor: float, trials: int, seed: int) -> Run:
    rng = np.random.default_rng(seed)
    rows = factor * np.exp(rng.normal(0, 0.4, (40, trials)))
    return make_run(
        {"cost_usd": {f"c{n:02}": row for n, row in enumerate(rows.tolist())}}, infos=[COST]
    )


def grades(center: float, trials: int, seed: int) -> Run:
    rng = np.random.default_rng(seed)
    rows = np.clip(rng.normal(center, 0.15, (60, trials)), 0, 1)
    return make_run({"grade": {f"c{n:02}": row for n, row in enumerate(rows.tolist())}})


def at_look(run: Run, looks: int = 3) -> Run:
    """The run as one look of a run that may take more."""
    return replace(run, header=replace(run.header, looks=looks))


def list_situations() -> dict[str, Situation]:
    """Every outcome of every kind of threshold and metric, by name."""
    usual = passes(MIXED, 10, 1)
    spotless = passes([1], 10, 1, cases=100)
    users = replace(DROP, estimand="users")
    one = passes(MIXED, 1, 2)
    worse = (0.8, 0.8, 0.8, 0.7, 0.5, 0.3, 0)
    lost = passes(MIXED, 1, 1, lost=[("c03", 0)])
    advisory = MetricInfo(name="has", digest="d", advisory="the judge is not calibrated")
    redefined = MetricInfo(name="has", digest="other")
    edited = {f"c{n:02}": "edited" for n in range(10)}
    return {
        "unchanged, 1 trial": Situation((DROP,), one, usual),
        "unchanged, 3 trials": Situation((DROP,), passes(MIXED, 3, 2), usual),
        "unchanged, first look": Situation((DROP,), at_look(one), usual),
        "unchanged, last look": Situation((DROP,), at_look(passes(MIXED, 3, 5)), usual),
        "worse, first look": Situation((DROP,), at_look(passes(worse, 1, 2)), usual),
        "a little worse, last look": Situation(
            (DROP,), at_look(passes((0.9, 0.95, 0.9, 0.85, 0.6, 0.3, 0), 3, 3)), usual
        ),
        "worse, 1 trial": Situation((DROP,), passes(worse, 1, 2), usual),
        "a little worse, 3 trials": Situation(
            (DROP,), passes((0.96, 0.96, 0.96, 0.85, 0.65, 0.35, 0), 3, 4), usual
        ),
        "three cases broken": Situation(
            (DROP,), with_rows([1], 3, {"c00": 0, "c01": 0, "c02": 0}), passes([1], 10, 1)
        ),
        "two cases broken, interval about 0": Situation(
            (DROP,),
            with_rows([1, 0, 0.5], 2, {"c00": 0, "c03": 0, "c06": 0, "c01": 2}),
            with_rows([1, 0, 0.5], 10, {}),
        ),
        "as many gains as losses": Situation(
            (DROP,),
            with_rows([1, 0], 1, {"c00": 0, "c02": 0, "c04": 0, "c01": 1, "c03": 1}),
            with_rows([1, 0], 10, {}),
        ),
        "nothing failed, few cases": Situation(
            (DROP,), passes([1], 1, 1, cases=8), passes([1], 3, 1, cases=8)
        ),
        "nothing failed, many cases": Situation((DROP,), passes([1], 1, 1, cases=100), spotless),
        "one trial failed": Situation((DROP,), with_rows([1], 1, {"c00": 0}, cases=100), spotless),
        "baseline at 0": Situation((DROP,), passes([0], 1, 1), passes([0], 10, 1)),
        "baseline at 0, better": Situation((DROP,), passes([0.5], 1, 1), passes([0], 10, 1)),
        "baseline below the limit": Situation(
            (replace(DROP, max_drop=0.05),), passes([0], 1, 1), passes([0.02], 10, 1)
        ),
        "three cases, one trial": Situation(
            (DROP,), passes([0], 1, 1, cases=3), passes([1], 1, 1, cases=3)
        ),
        "other cases, unchanged": Situation((users,), one, usual),
        "other cases, worse": Situation(
            (users,), passes((0.5, 0.5, 0.8, 0.7, 0.5, 0.3, 0), 1, 2), usual
        ),
        "a rise of a pass rate": Situation(
            (Rule(metric="has", max_rise=0.02),), passes([1], 1, 2), usual
        ),
        "graded, unchanged": Situation((GRADED,), grades(0.7, 1, 2), grades(0.7, 10, 1)),
        "graded, worse": Situation((GRADED,), grades(0.6, 1, 2), grades(0.7, 10, 1)),
        "graded, a little worse": Situation((GRADED,), grades(0.67, 1, 2), grades(0.7, 10, 1)),
        "graded, its pass rate": Situation(
            (replace(GRADED, stat="rate"),), grades(0.6, 1, 2), grades(0.7, 10, 1)
        ),
        "latency, unchanged": Situation((RISE,), latencies(1, 1, 2), latencies(1, 10, 1)),
        "latency, slower": Situation((RISE,), latencies(1.6, 1, 2), latencies(1, 10, 1)),
        "p95, unchanged": Situation((P95,), latencies(1.1, 1, 2), latencies(1, 10, 1)),
        "p95, slower": Situation((P95,), latencies(2, 1, 2), latencies(1, 10, 1)),
        "p95, few cases": Situation((P95,), latencies(1, 1, 2, 6), latencies(1, 3, 1, 6)),
        "cost, dearer": Situation(
            (Rule(metric="cost_usd", max_rise=0.1),), costs(0.013, 1, 2), costs(0.01, 10, 1)
        ),
        "latency within its limit": Situation(
            (Rule(metric="latency_s", max=2.0),), latencies(1, 3, 1)
        ),
        "latency, few and wide": Situation(
            (Rule(metric="latency_s", max=2.0),),
            make_run({"latency_s": {"a": [0.1], "b": [9.0], "c": [0.1]}}, infos=[LATENCY]),
        ),
        "above its minimum": Situation((Rule(metric="has", min=0.5),), passes(MIXED, 3, 1)),
        "near its minimum": Situation((Rule(metric="has", min=0.7),), passes(MIXED, 3, 1)),
        "below its minimum": Situation((Rule(metric="has", min=0.95),), passes(MIXED, 3, 1)),
        "minimum by the plain value": Situation(
            (Rule(metric="has", min=0.7, test="point"),), passes(MIXED, 3, 1)
        ),
        "graded, below its maximum": Situation(
            (Rule(metric="grade", max=0.75),), grades(0.7, 1, 2)
        ),
        "drop by the plain value": Situation((replace(DROP, test="point"),), one, usual),
        "drop by the plain value, worse": Situation(
            (replace(DROP, test="point"),), passes(worse, 1, 2), usual
        ),
        "must pass": Situation((Rule(must_pass=()),), passes([1], 3, 1)),
        "must pass, failed": Situation((Rule(must_pass=()),), passes([1, 0.5], 3, 1, cases=8)),
        "regressed cases": Situation((Rule(max_regressed=0),), one, usual),
        "regressed cases, none could": Situation(
            (Rule(max_regressed=0),), passes([0], 1, 2), passes([0], 10, 1)
        ),
        "broken cases": Situation((Rule(broken_cases=0),), one, usual),
        "no baseline": Situation((DROP, Rule(max_regressed=0)), one),
        "a lost trial": Situation((DROP,), lost, usual),
        "a lost trial, allowed": Situation((DROP,), lost, usual, max_errors=3),
        "a trial that was not run": Situation(
            (DROP,), passes(MIXED, 1, 1, absent=[("c03", 0)]), usual
        ),
        "metric defined anew": Situation((DROP,), one, passes(MIXED, 10, 1, infos=[redefined])),
        "advisory": Situation((DROP,), passes([0.5], 1, 1, infos=[advisory]), usual),
        "unknown metric": Situation((replace(DROP, metric="hsa"),), one, usual),
        "no threshold": Situation((), one, usual),
        "edited cases": Situation((DROP,), one, passes(MIXED, 10, 1, digests=edited)),
        "two thresholds share alpha": Situation(
            (DROP, replace(DROP, max_drop=0.01)), passes(worse, 1, 2), usual
        ),
    }
