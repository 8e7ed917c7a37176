"""A commit is bad if it is proven worse than GOOD, good if BAD is proven worse than it, else skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from evalkit.bisect.search import Verdict
from evalkit.bisect.verdict import (
    BisectedMetric,
    Ends,
    StepRule,
    Version,
    choose_rule,
    decide_commit,
    measure_step,
)
from evalkit.core.eval_set import Rule
from evalkit.core.run import Run
from tests.support.run_samples import LATENCY, counted, make_run

STEP = StepRule(rule=Rule(metric="accuracy", max_drop=0.02), max_errors=0)
CASES = 20


def run_of(passing: int, trials: int, *, lost: Sequence[tuple[str, int]] = ()) -> Run:
    """A run in which the first `passing` of 20 cases always pass and the others never do."""
    passes = {f"c{n:02}": (trials if n < passing else 0, trials) for n in range(CASES)}
    return make_run({"accuracy": counted(passes)}, lost=lost)


ENDS = Ends(good=Version(name="GOOD", run=run_of(20, 4)), bad=Version(name="BAD", run=run_of(6, 4)))


@pytest.mark.parametrize(
    ("passing", "verdict", "reason"),
    [
        (20, "good", "BAD is worse"),
        (6, "bad", "worse than GOOD"),
        (0, "bad", "worse than GOOD"),
        (13, "bad", "worse than GOOD, though better than BAD"),
        # Too close to GOOD for a proof, and better than BAD.
        (19, "good", "BAD is worse"),
    ],
)
def test_a_commit_is_compared_with_both_ends(passing: int, verdict: Verdict, reason: str) -> None:
    commit = Version(name="c", run=run_of(passing, 2))
    found = decide_commit(STEP, commit, ENDS, 0.01)
    assert (found.verdict, found.reason) == (verdict, reason)


def test_a_level_that_no_test_reaches_leaves_a_commit_open() -> None:
    near = Ends(good=ENDS.good, bad=Version(name="BAD", run=run_of(17, 4)))
    found = decide_commit(STEP, Version(name="c", run=run_of(19, 1)), near, 1e-4)
    assert found.verdict == "skipped"
    assert found.from_good is not None
    assert found.to_bad is not None
    assert not found.from_good.is_worse
    assert not found.to_bad.is_worse


def test_a_commit_with_failed_calls_is_skipped_untested() -> None:
    commit = Version(name="c", run=run_of(20, 1, lost=[("c00", 0)]))
    found = decide_commit(STEP, commit, ENDS, 0.01)
    assert (found.verdict, found.from_good) == ("skipped", None)
    assert "1 of 20 trials" in found.reason
    allowed = decide_commit(replace(STEP, max_errors=1), commit, ENDS, 0.01)
    assert allowed.verdict == "good"


def test_the_threshold_that_bad_fails_is_the_one_that_counts() -> None:
    def both(accuracy: int, style: int) -> Run:
        cells = {
            name: counted({f"c{n:02}": (4 * (n < passing), 4) for n in range(CASES)})
            for name, passing in (("accuracy", accuracy), ("style", style))
        }
        return make_run(cells)

    rules = (Rule(metric="accuracy", max_drop=0.02), Rule(metric="style", max_drop=0.02))
    measure = BisectedMetric(metric="accuracy", rules=rules)
    ends = Ends(
        good=Version(name="GOOD", run=both(20, 20)), bad=Version(name="BAD", run=both(20, 5))
    )
    assert choose_rule(measure, ends, 0) is rules[1]
    # None fails: the first one is shown.
    same = Ends(good=ends.good, bad=ends.good)
    assert choose_rule(measure, same, 0) is rules[0]


def test_a_metric_without_a_threshold_gets_one_in_its_direction() -> None:
    def timed(seconds: float) -> Version:
        cells = {"latency_s": {f"c{n:02}": [seconds + n / 100] * 3 for n in range(CASES)}}
        return Version(name=f"{seconds}", run=make_run(cells, infos=[LATENCY]))

    ends = Ends(good=timed(1.0), bad=timed(2.0))
    rule = choose_rule(BisectedMetric(metric="latency_s"), ends, 0)
    assert (rule.max_rise, rule.max_drop) == (0.02, None)
    test = measure_step(StepRule(rule=rule, max_errors=0), ends.good, ends.bad, 0.01)
    assert test.is_worse
    assert test.unit == "s"
