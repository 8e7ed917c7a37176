"""The gate: three-valued thresholds, one exit code, and sentences that agree with both."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.literals import Outcome
from evalkit.core.run import MetricInfo, Run
from evalkit.gate.decide import decide_gate
from tests.support.run_samples import LATENCY, Cell, counted, large_decision, make_run

COST = MetricInfo(name="cost_usd", unit="usd", higher_is_better=False, digest="d")
TOXIC = MetricInfo(name="toxic", higher_is_better=False, digest="d")
IDS = [f"case-{number:02}" for number in range(100)]
NO_MORE = Rule(metric="accuracy", max_drop=0.02)

laws = settings(max_examples=40, deadline=None)


def judged(
    rules: Sequence[Rule],
    candidate: Run,
    baseline: Run | None = None,
    *,
    max_errors: int = 0,
    on_inconclusive: Literal["pass", "fail"] = "pass",
) -> GateResult:
    return decide_gate(
        rules, candidate, baseline, max_errors=max_errors, on_inconclusive=on_inconclusive
    )


def checked(rule: Rule, candidate: Run, baseline: Run | None = None) -> Check:
    return judged([rule], candidate, baseline).checks[0]


def steady_baseline() -> Run:
    """Eighty cases that pass ten times of ten, ten that always fail, ten that waver."""
    passes = [10] * 80 + [0] * 10 + [5] * 10
    return make_run(
        {"accuracy": counted({case: (b, 10) for case, b in zip(IDS, passes, strict=True)})}
    )


def candidate_with(
    broken: int,
    *,
    lost: Sequence[tuple[str, int]] = (),
    absent: Sequence[tuple[str, int]] = (),
    cost_usd: float | None = None,
) -> Run:
    """Two trials per case: as the baseline, but for the first `broken` cases, which always fail."""
    passes = [0] * broken + [2] * (80 - broken) + [0] * 10 + [1] * 10
    cells = {"accuracy": counted({case: (c, 2) for case, c in zip(IDS, passes, strict=True)})}
    return make_run(cells, lost=lost, absent=absent, cost_usd=cost_usd)


def wavering_baseline() -> Run:
    """A hundred cases that pass seven times of ten."""
    return make_run({"accuracy": counted(dict.fromkeys(IDS, (7, 10)))})


def wavering_candidate(passing: int, *, cost_usd: float | None = None) -> Run:
    """One trial a case, of which the first `passing` pass."""
    passes = {case: (int(number < passing), 1) for number, case in enumerate(IDS)}
    return make_run({"accuracy": counted(passes)}, cost_usd=cost_usd)


@pytest.mark.parametrize(
    ("candidate", "baseline", "outcome", "exit_code"),
    [
        (candidate_with(0), steady_baseline(), "pass", 0),
        (candidate_with(5), steady_baseline(), "fail", 1),
        (wavering_candidate(66), wavering_baseline(), "inconclusive", 0),
        (wavering_candidate(50), wavering_baseline(), "fail", 1),
    ],
)
def test_a_drop_is_failed_when_proven_passed_when_ruled_out_else_inconclusive(
    candidate: Run, baseline: Run, outcome: Outcome, exit_code: int
) -> None:
    verdict = judged([NO_MORE], candidate, baseline)
    assert (verdict.checks[0].outcome, verdict.outcome) == (outcome, outcome)
    assert verdict.exit_code == exit_code


def test_an_inconclusive_threshold_exits_3_where_the_policy_says_so() -> None:
    verdict = judged([NO_MORE], wavering_candidate(66), wavering_baseline(), on_inconclusive="fail")
    assert (verdict.outcome, verdict.exit_code) == ("inconclusive", 3)


def test_an_inconclusive_threshold_that_lets_a_run_pass_does_so_loudly() -> None:
    verdict = judged([NO_MORE], wavering_candidate(66), wavering_baseline())
    assert verdict.reason.startswith("INCONCLUSIVE accuracy")
    assert verdict.notes[0] == (
        "INCONCLUSIVE: 1 threshold neither failed nor passed; "
        "on_inconclusive is 'pass', so this does not fail the run."
    )


@pytest.mark.parametrize(("before", "now"), [(10, 0), (0, 10), (10, 10)])
def test_the_interval_of_a_rate_ends_where_rates_end(before: int, now: int) -> None:
    base = make_run({"accuracy": counted({"only": (before, 10)})})
    check = checked(NO_MORE, make_run({"accuracy": counted({"only": (now, 10)})}), base)
    assert check.low is not None
    assert check.high is not None
    assert check.difference is not None
    assert -1 <= check.low <= check.difference <= check.high <= 1


def test_a_drop_that_is_allowed_also_passes() -> None:
    rule = replace(NO_MORE, max_drop=0.10)
    assert checked(rule, candidate_with(4), steady_baseline()).outcome == "pass"
    assert checked(rule, candidate_with(14), steady_baseline()).outcome == "fail"


def test_a_metric_of_which_less_is_better_fails_on_a_rise() -> None:
    def run_of(toxic: int, trials: int) -> Run:
        passes = [trials] * toxic + [0] * (100 - toxic)
        return make_run(
            {"toxic": counted({case: (c, trials) for case, c in zip(IDS, passes, strict=True)})},
            infos=[TOXIC],
        )

    rule = Rule(metric="toxic", max_rise=0.02)
    assert checked(rule, run_of(9, 2), run_of(2, 10)).outcome == "fail"
    assert checked(rule, run_of(2, 2), run_of(9, 10)).outcome == "pass"


def latencies(factor: float, trials: int, *, seed: int, cases: int = 60) -> Run:
    rng = np.random.default_rng(seed)
    usual = np.exp(np.random.default_rng(0).normal(0, 0.5, cases))
    return make_run(
        {
            "latency_s": {
                case: (factor * base * np.exp(rng.normal(0, 0.15, trials))).tolist()
                for case, base in zip(IDS, usual, strict=False)
            }
        },
        infos=[LATENCY],
    )


@pytest.mark.parametrize("stat", ["mean", "p50", "p95"])
@pytest.mark.parametrize(("factor", "outcome"), [(1.0, "pass"), (2.0, "fail")])
def test_measurements_are_compared_as_shares_of_the_baseline(
    stat: Literal["mean", "p50", "p95"], factor: float, outcome: Outcome
) -> None:
    rule = Rule(metric="latency_s", stat=stat, max_rise=0.3)
    check = checked(rule, latencies(factor, 3, seed=1), latencies(1.0, 5, seed=2))
    assert check.outcome == outcome
    assert check.difference == pytest.approx(factor - 1, abs=0.15)
    assert check.difference is not None
    assert check.low is not None
    assert check.high is not None
    assert check.low <= check.difference <= check.high


def test_a_slow_case_weighs_no_more_than_a_quick_one() -> None:
    base = {case: [1.0] for case in IDS[:20]} | {"slow": [1000.0]}
    after = {case: [1.0 + number / 1000] for number, case in enumerate(IDS[:20])}
    runs = (
        make_run({"latency_s": cells}, infos=[LATENCY])
        for cells in (after | {"slow": [1200.0]}, base)
    )
    check = checked(Rule(metric="latency_s", max_rise=0.1), *runs)
    assert check.difference is not None
    assert check.difference < 0.02


def test_costs_of_nothing_are_compared_by_their_mean_and_a_free_baseline_is_refused() -> None:
    free, cheap = ({case: [cost] for case in IDS[:20]} for cost in (0.0, 0.01))
    some = cheap | {IDS[0]: [0.0]}
    rule = Rule(metric="cost_usd", max_rise=0.1)

    def run_of(cells: Mapping[str, Sequence[Cell]]) -> Run:
        return make_run({"cost_usd": cells}, infos=[COST])

    assert checked(rule, run_of(free), run_of(free)).outcome == "pass"
    assert checked(rule, run_of(some), run_of(some)).difference == 0.0
    refused = checked(rule, run_of(cheap), run_of(free))
    assert refused.sentence == (
        "UNDECIDED cost_usd: its baseline is 0, so no change is a share of it. Use min or max."
    )


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        (Rule(metric="accuracy", max_drop=0.02), (candidate_with(5), steady_baseline())),
        (Rule(metric="accuracy", stat="rate", min=0.5), (candidate_with(5), None)),
        (
            Rule(metric="accuracy", max_drop=0.02, estimand="users"),
            (candidate_with(30), steady_baseline()),
        ),
        *(
            (
                Rule(metric="latency_s", stat=stat, max_rise=0.3),
                (latencies(1.0, 3, seed=1), latencies(1.0, 5, seed=2)),
            )
            for stat in ("mean", "p50")
        ),
    ],
)
def test_the_interval_to_look_at_is_the_same_whatever_alpha_decides(
    rule: Rule, runs: tuple[Run, Run | None]
) -> None:
    usual = checked(rule, *runs)
    assert (usual.display_low, usual.display_high) == (usual.low, usual.high)
    strict = checked(replace(rule, alpha=0.01), *runs)
    for end in ("low", "high"):
        shown, decided = getattr(strict, f"display_{end}"), getattr(strict, end)
        near = 0.02 if rule.estimand == "users" else 1e-9
        assert shown == pytest.approx(getattr(usual, end), abs=near)
        assert decided < shown if end == "low" else decided > shown


def test_graded_scores_are_compared_in_points() -> None:
    rng = np.random.default_rng(8)
    usual = rng.uniform(0.4, 0.9, 60)

    def run_of(loss: float, trials: int) -> Run:
        rows = np.clip(usual[:, None] - loss + rng.normal(0, 0.05, (60, trials)), 0, 1)
        return make_run(
            {"tone": {case: row.tolist() for case, row in zip(IDS, rows, strict=False)}}
        )

    base, rule = run_of(0.0, 5), Rule(metric="tone", max_drop=0.02)
    assert checked(rule, run_of(0.0, 1), base).outcome == "pass"
    failed = checked(rule, run_of(0.1, 1), base)
    assert failed.outcome == "fail"
    assert failed.difference == pytest.approx(-0.1, abs=0.02)
    assert not failed.hits[0].is_count


def test_a_rate_is_the_share_that_passed_the_pass_mark() -> None:
    base = make_run({"tone": {case: [0.6] * 5 for case in IDS}})
    after = make_run({"tone": {case: [0.4 if case < "case-09" else 0.6] for case in IDS}})
    check = checked(Rule(metric="tone", stat="rate", max_drop=0.02), after, base)
    assert check.baseline == 1.0
    assert check.candidate == pytest.approx(0.91)
    assert check.hits[0].is_count
    assert check.outcome == "fail"


ACCURATE = make_run({"accuracy": counted(dict.fromkeys(IDS[:85], (1, 1)) | {"z": (0, 1)})})


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        (Rule(metric="accuracy", min=0.90), "pass"),
        (Rule(metric="accuracy", min=0.98), "inconclusive"),
        (Rule(metric="accuracy", min=0.9995), "fail"),
        (Rule(metric="accuracy", max=0.90), "fail"),
        (Rule(metric="accuracy", max=1.0), "pass"),
        (Rule(metric="accuracy", min=0.989, test="point"), "fail"),
        (Rule(metric="accuracy", min=0.988, test="point"), "pass"),
        (Rule(metric="accuracy", max=0.988, test="point"), "fail"),
        (Rule(metric="accuracy", stat="rate", min=0.90), "pass"),
    ],
)
def test_an_absolute_limit_is_decided_by_the_whole_interval(rule: Rule, outcome: Outcome) -> None:
    assert checked(rule, ACCURATE).outcome == outcome


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        (Rule(metric="latency_s", stat="p95", max=10.0), "pass"),
        (Rule(metric="latency_s", stat="p95", max=0.5), "fail"),
        (Rule(metric="latency_s", stat="p99", max=10.0), "inconclusive"),
        (Rule(metric="latency_s", stat="p99", max=10.0, test="point"), "pass"),
        (Rule(metric="latency_s", max=10.0), "pass"),
    ],
)
def test_limits_on_measurements_need_enough_trials_to_bound_them(
    rule: Rule, outcome: Outcome
) -> None:
    assert checked(rule, latencies(1.0, 2, seed=3, cases=100)).outcome == outcome


def test_the_bare_numbers_decide_where_that_is_asked() -> None:
    rule = replace(NO_MORE, max_drop=0.05, test="point")
    base = make_run({"accuracy": counted(dict.fromkeys(IDS[:20], (1, 1)))})
    one = make_run({"accuracy": counted({case: (case != "case-00", 1) for case in IDS[:20]})})
    two = make_run({"accuracy": counted({case: (case > "case-01", 1) for case in IDS[:20]})})
    assert checked(rule, one, base).outcome == "pass"
    assert checked(rule, two, base).outcome == "fail"
    slower = Rule(metric="latency_s", stat="p50", max_rise=0.2, test="point")
    quick, slow = ({"latency_s": {"a": [s]}} for s in (1.0, 1.3))
    runs = (make_run(cells, infos=[LATENCY]) for cells in (slow, quick))
    assert checked(slower, *runs).sentence == (
        "FAIL latency_s p50 1.00 s -> 1.30 s (+30.0%; 1 case, 1 baseline and 1 candidate trial). "
        "This is more than the rise of 20% allowed. Most affected by mean latency_s: a (1.00 s -> 1.30 s)."
    )


def test_every_regressed_case_is_named() -> None:
    base = make_run(
        {"accuracy": counted({"a": (6, 10), "b": (5, 10), "c": (10, 10), "d": (0, 10)})}
    )
    after = make_run({"accuracy": counted({"a": (0, 1), "b": (0, 1), "c": (0, 1), "d": (1, 1)})})
    check = checked(Rule(max_regressed=1), after, base)
    assert [hit.case_id for hit in check.hits] == ["a", "c"]
    assert check.sentence == (
        "FAIL regressed cases: 2 passed in the baseline and fail now, at most 1 allowed: "
        "a (6/10 -> 0/1, flaky), c (10/10 -> 0/1)."
    )
    assert checked(Rule(max_regressed=2), after, base).outcome == "pass"


def test_a_case_that_cannot_be_told_may_have_regressed() -> None:
    base = make_run({"accuracy": counted({"a": (1, 1), "b": (1, 1)})})
    after = make_run({"accuracy": counted({"a": (1, 1), "b": (1, 1)})}, lost=[("b", 0)])
    check = checked(Rule(max_regressed=0), after, base)
    assert check.outcome == "undecided"
    assert check.sentence.endswith("1 case that passed in the baseline has no complete trial now.")
    assert checked(Rule(max_regressed=1), after, base).outcome == "pass"


def test_cases_that_must_pass_must_do_so_in_every_trial() -> None:
    tags = {"a": ["safety"], "b": ["safety"], "c": ["chat"]}
    run = make_run({"accuracy": counted({"a": (3, 3), "b": (2, 3), "c": (0, 3)})}, tags=tags)
    check = checked(Rule(must_pass=("safety",)), run)
    assert check.sentence == "FAIL must pass [safety]: 1 of 2 cases failed: b (2/3 passed)."
    assert [hit.case_id for hit in checked(Rule(must_pass=()), run).hits] == ["b", "c"]
    fine = make_run({"accuracy": counted({"a": (3, 3), "b": (3, 3), "c": (0, 3)})}, tags=tags)
    assert checked(Rule(must_pass=("safety",)), fine).outcome == "pass"


def test_a_case_that_must_pass_and_has_no_complete_trial_is_not_passed() -> None:
    run = make_run({"accuracy": counted({"a": (2, 2), "b": (2, 2)})}, lost=[("b", 0), ("b", 1)])
    verdict = judged([Rule(must_pass=())], run, max_errors=2)
    assert (verdict.outcome, verdict.exit_code) == ("undecided", 3)
    tolerable = make_run({"accuracy": counted({"a": (2, 2), "b": (2, 2)})}, lost=[("b", 0)])
    assert judged([Rule(must_pass=())], tolerable, max_errors=1).exit_code == 0


def test_a_trial_that_failed_one_metric_has_failed_whatever_the_judge_did() -> None:
    run = make_run({"accuracy": {"a": [0.0]}, "tone": {"a": ["judge_error"]}})
    assert checked(Rule(must_pass=()), run).outcome == "fail"


def test_a_tag_narrows_a_threshold_to_its_cases() -> None:
    tags = {case: ["refunds"] if case < "case-10" else ["chat"] for case in IDS}
    base = make_run({"accuracy": counted(dict.fromkeys(IDS, (10, 10)))}, tags=tags)
    after = make_run(
        {"accuracy": counted({case: (0 if case < "case-05" else 2, 2) for case in IDS})}, tags=tags
    )
    refunds = checked(replace(NO_MORE, tag="refunds"), after, base)
    assert (refunds.outcome, refunds.cases) == ("fail", 10)
    assert checked(replace(NO_MORE, tag="chat"), after, base).outcome == "pass"
    assert checked(Rule(metric="accuracy", tag="refunds", max=0.2), after, base).outcome == "fail"
    assert checked(Rule(max_regressed=0, tag="chat"), after, base).outcome == "pass"


REDEFINED = [MetricInfo(name="accuracy", digest="other")]
ONE = {"accuracy": counted({"a": (1, 1)})}
TAGGED = {"a": ["refunds"]}


@pytest.mark.parametrize(
    ("rule", "baseline", "sentence"),
    [
        (
            Rule(metric="acuracy", min=0.5),
            None,
            "UNDECIDED acuracy: no metric of this run is named 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            Rule(metric="accuracy", tag="refund", min=0.5),
            None,
            "UNDECIDED accuracy [refund]: no case has the tag 'refund'; did you mean 'refunds'?",
        ),
        (
            Rule(must_pass=("safety",)),
            None,
            "UNDECIDED must pass [safety]: no case has the tag 'safety'; there are: refunds.",
        ),
        (
            NO_MORE,
            None,
            (
                "UNDECIDED accuracy: there is no baseline. "
                "Record one: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            Rule(max_regressed=0),
            None,
            (
                "UNDECIDED regressed cases: there is no baseline. "
                "Record one: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            NO_MORE,
            make_run({"tone": {"a": [1.0]}}),
            (
                "UNDECIDED accuracy: it is not in the baseline. "
                "Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            NO_MORE,
            make_run(ONE, infos=REDEFINED),
            (
                "UNDECIDED accuracy: it was measured differently in the baseline (its definition has "
                "changed since). Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            Rule(max_regressed=0),
            make_run(ONE, infos=REDEFINED),
            (
                "UNDECIDED regressed cases: accuracy measured differently in the baseline. "
                "Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            NO_MORE,
            make_run(ONE, digests={"a": "edited"}),
            (
                "UNDECIDED accuracy: no case is the same in this run and in the baseline. "
                "Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            Rule(max_regressed=0),
            make_run(ONE, digests={"a": "edited"}),
            (
                "UNDECIDED regressed cases: no case is the same in this run and in the baseline. "
                "Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
        (
            NO_MORE,
            make_run(ONE, lost=[("a", 0)]),
            (
                "UNDECIDED accuracy: no case has a value of it both in this run and in the baseline. "
                "Record a new baseline: evalkit baseline evalsets/support.yaml."
            ),
        ),
    ],
)
def test_what_cannot_be_applied_is_undecided_and_says_what_to_do(
    rule: Rule, baseline: Run | None, sentence: str
) -> None:
    verdict = judged([rule], make_run(ONE, tags=TAGGED), baseline)
    assert verdict.checks[0].sentence == sentence
    assert (verdict.outcome, verdict.exit_code, verdict.reason) == ("undecided", 3, sentence)


def test_a_measurement_has_no_rate_and_a_metric_without_a_value_no_number() -> None:
    run = make_run(
        {"accuracy": {"a": [1.0]}, "latency_s": {"a": [1.0]}, "tone": {"a": ["judge_error"]}},
        infos=[LATENCY],
    )
    rate = checked(Rule(metric="latency_s", stat="rate", min=0.5), run)
    assert rate.sentence == (
        "UNDECIDED latency_s rate: it is a measurement that neither passes nor fails, "
        "so it has no rate."
    )
    tone = checked(Rule(metric="tone", min=0.5), run)
    assert tone.sentence == "UNDECIDED tone: no trial has a value of it (1 judge error)."


def test_the_reason_for_a_missing_baseline_can_be_told() -> None:
    verdict = decide_gate(
        [NO_MORE],
        make_run(ONE),
        None,
        max_errors=0,
        on_inconclusive="pass",
        baseline_problem="it was cut off. Record it again",
    )
    assert verdict.reason == "UNDECIDED accuracy: it was cut off. Record it again."


def test_an_undecided_threshold_outweighs_a_failed_one_which_is_still_said() -> None:
    rules = [Rule(metric="accuracy", min=0.99), Rule(metric="nothing", min=0.5)]
    verdict = judged(rules, candidate_with(5))
    assert [check.outcome for check in verdict.checks] == ["fail", "undecided"]
    assert (verdict.outcome, verdict.exit_code) == ("undecided", 3)
    assert verdict.reason.endswith("1 threshold failed on what was scored.")


def test_more_errors_than_allowed_leave_a_run_undecided_whatever_was_proven() -> None:
    lost = [("case-01", 0), ("case-02", 0)]
    verdict = judged([NO_MORE], candidate_with(6, lost=lost), steady_baseline(), max_errors=1)
    assert (verdict.outcome, verdict.exit_code) == ("undecided", 3)
    assert verdict.checks[0].outcome == "fail"
    assert verdict.reason == (
        "Not decided: 2 of 200 trials have no score (2 agent errors); max_errors allows 1. "
        "1 threshold failed on what was scored."
    )


def test_trials_never_run_leave_a_run_undecided_however_many_errors_are_allowed() -> None:
    run = candidate_with(0, absent=[("case-07", 1)])
    verdict = judged([Rule(metric="accuracy", min=0.1)], run, max_errors=50)
    assert (verdict.outcome, verdict.exit_code) == ("undecided", 3)
    assert verdict.reason == "Not decided: 1 of 200 trials has no score (1 not run)."


def test_errors_within_the_budget_are_left_out_and_said() -> None:
    run = candidate_with(0, lost=[("case-01", 0), ("case-01", 1)])
    rules = [Rule(metric="accuracy", min=0.5), NO_MORE]
    verdict = judged(rules, run, steady_baseline(), max_errors=2)
    assert verdict.exit_code == 0
    assert verdict.checks[0].sentence == (
        "PASS accuracy 84.8% (90% interval 78.4% to 90.0%; 99 cases, 198 of 200 scored, "
        "2 agent errors). At least 50% is required, and the whole interval is within it."
    )
    assert verdict.checks[1].sentence.endswith("Left out: 2 agent errors.")
    assert "no more than max_errors allows" in verdict.notes[0]
    assert verdict.summaries[0].missing == {"agent_error": 2}


def test_a_run_of_which_nothing_was_scored_is_not_passed() -> None:
    run = make_run({"accuracy": {"a": ["skipped"]}})
    verdict = judged([Rule(must_pass=())], run)
    assert (verdict.exit_code, verdict.reason) == (3, "Not decided: no trial was scored.")


def test_without_thresholds_a_complete_run_passes_and_says_that_nothing_was_checked() -> None:
    verdict = judged([], candidate_with(0))
    assert (verdict.exit_code, verdict.reason) == (0, "Complete, but no threshold was checked.")


def test_the_reason_counts_the_thresholds_that_made_the_outcome() -> None:
    rules = [Rule(metric="accuracy", min=0.5), Rule(must_pass=()), Rule(metric="accuracy", max=0.5)]
    assert judged(rules[:1], candidate_with(0)).reason == "The threshold holds."
    assert judged([rules[0]] * 3, candidate_with(0)).reason == "All 3 thresholds hold."
    assert judged(rules, candidate_with(0)).reason.endswith("2 of 3 thresholds failed.")


def mixed_runs() -> tuple[Run, Run]:
    """A candidate that fails three steady cases and all ten that wavered, and its baseline."""
    before = [10] * 60 + [9] * 20 + [5] * 10 + [0] * 10
    after = [0] * 3 + [1] * 77 + [0] * 20
    candidate, baseline = (
        make_run({"accuracy": counted({case: (c, t) for case, c in zip(IDS, row, strict=True)})})
        for row, t in ((after, 1), (before, 10))
    )
    return candidate, baseline


def offset_runs() -> tuple[Run, Run]:
    """A candidate that fails seven cases that never did and passes five that never did, and its baseline."""
    before = [10] * 50 + [0] * 50
    after = [0] * 7 + [1] * 43 + [1] * 5 + [0] * 45
    candidate, baseline = (
        make_run({"accuracy": counted({case: (c, t) for case, c in zip(IDS, row, strict=True)})})
        for row, t in ((after, 1), (before, 10))
    )
    return candidate, baseline


SAID: list[tuple[Rule, tuple[Run, Run], str]] = [
    (
        NO_MORE,
        (candidate_with(0), steady_baseline()),
        (
            "PASS accuracy 85.0% -> 85.0% (0.0 pt, 90% interval -2.8 to +2.1; 100 cases, "
            "10 baseline and 2 candidate trials). A drop of 5 pt is ruled out."
        ),
    ),
    (
        NO_MORE,
        (candidate_with(6), steady_baseline()),
        (
            "FAIL accuracy 85.0% -> 79.0% (-6.0 pt, 90% interval -10.1 to -3.6; 100 cases, "
            "10 baseline and 2 candidate trials). Weighed by how stable each case was, if nothing had "
            "changed, a result this bad would come up less than 1 time in a million (the plain difference "
            "alone: about 1 time in 29,000). Most affected in accuracy: case-00 (10/10 -> 0/2), "
            "case-01 (10/10 -> 0/2), case-02 (10/10 -> 0/2)."
        ),
    ),
    (
        NO_MORE,
        (candidate_with(2), steady_baseline()),
        (
            "FAIL accuracy 85.0% -> 83.0% (-2.0 pt, 90% interval -5.3 to +0.2; 100 cases, "
            "10 baseline and 2 candidate trials). Weighed by how stable each case was, if nothing had "
            "changed, a result this bad would come up about 1 time in 1,500 (the plain difference alone: "
            "about 1 time in 14). The interval includes 0 because it is of the plain difference, where "
            "all cases count alike. "
            "Most affected in accuracy: case-00 (10/10 -> 0/2), case-01 (10/10 -> 0/2)."
        ),
    ),
    (
        NO_MORE,
        (wavering_candidate(66), wavering_baseline()),
        (
            "INCONCLUSIVE accuracy 70.0% -> 66.0% (-4.0 pt, 90% interval -12.7 to +4.3; 100 cases, "
            "10 baseline and 1 candidate trial). A drop of 5 pt is not ruled out, and none is proven: "
            "weighed by how stable each case was, if nothing had changed, a result this bad would come up "
            "more often than not (the plain difference alone: about 1 time in 5). "
            "Most affected in accuracy: case-66 (7/10 -> 0/1), case-67 (7/10 -> 0/1), case-68 (7/10 -> 0/1)."
        ),
    ),
    (
        replace(NO_MORE, margin=0.15),
        (wavering_candidate(65), wavering_baseline()),
        (
            "INCONCLUSIVE accuracy 70.0% -> 65.0% (-5.0 pt, 90% interval -13.7 to +3.3; 100 cases, "
            "10 baseline and 1 candidate trial). A drop of 15 pt is ruled out, but a drop of 2 pt is "
            "not, and it may be real: weighed by how stable each case was, if nothing had changed, a result "
            "this bad would come up about every other time (the plain difference alone: about 1 time in 6). "
            "Most affected in accuracy: case-65 (7/10 -> 0/1), case-66 (7/10 -> 0/1), case-67 (7/10 -> 0/1)."
        ),
    ),
    (
        NO_MORE,
        mixed_runs(),
        (
            "INCONCLUSIVE accuracy 83.0% -> 77.0% (-6.0 pt, 90% interval -12.2 to -2.2; 100 cases, "
            "10 baseline and 1 candidate trial). A drop of 5 pt is not ruled out, and none is proven, "
            "because most cases that got worse were flaky before: weighed by how stable each case was, "
            "if nothing had changed, a result this bad would come up about 1 time in 7 (the plain "
            "difference alone: about 1 time in 140). "
            "The interval excludes 0 because it is of the plain difference, where all cases count alike. "
            "Most affected in accuracy: case-00 (10/10 -> 0/1), case-01 (10/10 -> 0/1), case-02 (10/10 -> 0/1)."
        ),
    ),
    (
        NO_MORE,
        offset_runs(),
        (
            "INCONCLUSIVE accuracy 50.0% -> 48.0% (-2.0 pt, 90% interval -6.1 to -0.2; 100 cases, "
            "10 baseline and 1 candidate trial). A drop of 5 pt is not ruled out, and none is proven, "
            "because stable cases got worse but others got better: if nothing had changed, a result this bad "
            "would come up about 1 time in 20. "
            "The interval excludes 0 because it is of the plain difference, where all cases count alike. "
            "Most affected in accuracy: case-00 (10/10 -> 0/1), case-01 (10/10 -> 0/1), case-02 (10/10 -> 0/1)."
        ),
    ),
    (
        replace(NO_MORE, max_drop=0.08),
        (candidate_with(6), steady_baseline()),
        (
            "INCONCLUSIVE accuracy 85.0% -> 79.0% (-6.0 pt, 90% interval -10.1 to -3.6; 100 cases, "
            "10 baseline and 2 candidate trials). It is worse, though by less than the drop of 8 pt "
            "allowed: weighed by how stable each case was, if nothing had changed, a result this bad would "
            "come up less than 1 time in a million (the plain difference alone: about 1 time in 29,000); a "
            "drop of 8 pt is not ruled out. Most affected in accuracy: case-00 (10/10 -> 0/2), "
            "case-01 (10/10 -> 0/2), case-02 (10/10 -> 0/2)."
        ),
    ),
]


@pytest.mark.parametrize(("rule", "runs", "sentence"), SAID)
def test_a_comparison_is_said_with_sizes_odds_and_cases(
    rule: Rule, runs: tuple[Run, Run], sentence: str
) -> None:
    assert checked(rule, *runs).sentence == sentence


def test_an_inconclusive_comparison_says_what_would_decide_it_and_its_cost() -> None:
    run = wavering_candidate(69, cost_usd=0.007)
    assert checked(NO_MORE, run, wavering_baseline()).to_decide == (
        "Set `trials: 12` (1,200 runs, about $8.40): an agent that did not change then passes in 81% of runs."
    )
    hopeless = make_run({"accuracy": counted({"a": (1, 2), "b": (1, 2), "c": (2, 2)})})
    assert checked(NO_MORE, hopeless, hopeless).to_decide == (
        "Even with `trials: 20` (60 runs), an agent that did not change passes in only 6% of runs; "
        "add cases, or record more baseline trials."
    )


def test_an_inconclusive_limit_says_how_many_cases_would_decide_it() -> None:
    check = checked(Rule(metric="accuracy", min=0.98), ACCURATE)
    assert check.sentence == (
        "INCONCLUSIVE accuracy 98.8% (90% interval 94.6% to 99.9%; 86 cases, 86 trials). "
        "At least 98% is required, and the interval includes it."
    )
    assert (
        check.to_decide
        == "About 2,201 cases like these (86 now) would decide, if the value stays the same."
    )


def test_every_comparison_says_what_it_can_see_and_how_often_it_is_wrong() -> None:
    verdict = judged([NO_MORE], candidate_with(0), steady_baseline())
    assert verdict.notes == (
        (
            "accuracy: this comparison fails a drop of 3.9 pt 4 times in 5, and at most 1 time in 62 "
            "fails an agent that did not change."
        ),
        (
            "accuracy: on other cases like these (100 cases) 0.0 pt (90% interval -2.8 to +2.1); if "
            "nothing had changed on the whole, a result this bad would come up about every other time."
        ),
    )
    check = verdict.checks[0]
    assert check.smallest_detectable == pytest.approx(0.039, abs=0.0005)
    assert check.false_alarm is not None
    assert math.floor(1 / check.false_alarm) == 62


def test_one_against_one_says_when_nothing_could_have_been_proven() -> None:
    base = make_run({"accuracy": counted(dict.fromkeys(IDS[:30], (1, 1)))})
    after = make_run({"accuracy": counted({case: (case > "case-02", 1) for case in IDS[:30]})})
    check = checked(NO_MORE, after, base)
    assert check.outcome == "inconclusive"
    assert check.p_value == pytest.approx(1 / 16)
    assert (
        "so few failures cannot prove one, even if all of them are in this run: the smallest possible p-value is 0.062, "
        "and 0.05 is needed." in check.sentence
    )


def test_a_rule_against_what_is_better_is_questioned() -> None:
    verdict = judged(
        [Rule(metric="latency_s", max_drop=0.1)], latencies(1, 1, seed=1), latencies(1, 1, seed=2)
    )
    assert verdict.notes[-1] == (
        "latency_s: lower is better, and this rule guards against a drop; was max_rise meant?"
    )


def test_rounding_never_contradicts_the_decision() -> None:
    close = {case: [0.849 + (-1) ** at / 1e4] for at, case in enumerate(IDS[:60])}
    check = checked(Rule(metric="accuracy", min=0.85), make_run({"accuracy": close}))
    assert check.sentence.startswith("FAIL accuracy 84.90% (90% interval 84.84% to 84.96%; ")
    near = make_run({"accuracy": {"a": [0.84996], "b": [0.84996]}})
    check = checked(Rule(metric="accuracy", min=0.85, test="point"), near)
    assert check.sentence.startswith("FAIL accuracy 84.996% (")
    base = make_run({"accuracy": {"a": [0.87], "b": [0.87]}})
    drop = checked(replace(NO_MORE, test="point"), near, base)
    assert drop.sentence.startswith("FAIL accuracy 87.000% -> 84.996% (-2.004 pt; ")


def numbers_in(record: object) -> list[float]:
    """Every float in a record, however deep."""
    if isinstance(record, float):
        return [record]
    if isinstance(record, Mapping):
        return [number for value in record.values() for number in numbers_in(value)]
    if isinstance(record, (list, tuple)):
        return [number for value in record for number in numbers_in(value)]
    if hasattr(record, "__dataclass_fields__"):
        names = [field.name for field in fields(record)]  # type: ignore[arg-type] # it is one
        return [number for name in names for number in numbers_in(getattr(record, name))]
    return []


RULES = [
    NO_MORE,
    Rule(metric="accuracy", max_rise=0.02),
    Rule(metric="accuracy", min=0.8),
    Rule(metric="accuracy", stat="p95", max_drop=0.1),
    Rule(metric="accuracy", stat="p50", max=0.5),
    Rule(metric="latency_s", max_rise=0.2),
    Rule(metric="latency_s", max_drop=1.0),
    Rule(metric="latency_s", stat="p95", max_rise=0.2),
    Rule(metric="latency_s", stat="p99", max=2.0),
    Rule(metric="latency_s", max_rise=0.2, test="point"),
    Rule(max_regressed=0),
    Rule(must_pass=()),
]
SMALL = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.floats(0, 1e6), min_size=1, max_size=3), min_size=1
)


@laws
@given(
    base=SMALL,
    after=SMALL,
    passes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=6, max_size=6),
)
def test_no_data_at_all_brings_nan_infinity_or_an_exception_into_a_verdict(
    base: dict[str, list[float]], after: dict[str, list[float]], passes: list[tuple[int, int]]
) -> None:
    by_case = dict(zip("abcdef", passes, strict=True))
    runs = [
        make_run(
            {
                "accuracy": counted({case: (by_case[case][side], 3 - side) for case in cells}),
                "latency_s": {case: (row * 3)[: 3 - side] for case, row in cells.items()},
            },
            infos=[LATENCY],
        )
        for side, cells in enumerate((base, after))
    ]
    verdict = judged(RULES, runs[1], runs[0])
    assert all(math.isfinite(number) for number in numbers_in(verdict))
    assert msgspec.json.decode(msgspec.json.encode(verdict))["exit_code"] in (0, 1, 3)
    assert not any("nan" in check.sentence or "inf" in check.sentence for check in verdict.checks)


SIZES = st.tuples(st.integers(1, 10), st.integers(1, 3))


@st.composite
def paired_runs(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    m, k = draw(SIZES)
    n = draw(st.integers(2, 60))
    passes = st.sampled_from([m, m, m, m - 1, 0]) if m > 1 else st.integers(0, 1)
    base = draw(st.lists(passes, min_size=n, max_size=n))
    after = draw(st.lists(st.sampled_from([k, k, k, 0, k // 2]), min_size=n, max_size=n))
    return base, after, m, k


def outcome_of(base: Sequence[int], after: Sequence[int], m: int, k: int) -> Check:
    ids = [f"c{number}" for number in range(len(base))]
    runs = (
        make_run({"accuracy": counted({case: (c, t) for case, c in zip(ids, row, strict=True)})})
        for row, t in ((after, k), (base, m))
    )
    return checked(NO_MORE, *runs)


@laws
@given(paired_runs(), st.data())
def test_one_more_failure_never_turns_fail_into_pass_nor_inconclusive_into_pass(
    runs: tuple[list[int], list[int], int, int], data: st.DataObject
) -> None:
    base, after, m, k = runs
    passing = [index for index, passes in enumerate(after) if passes]
    if not passing:
        return
    worse = list(after)
    worse[data.draw(st.sampled_from(passing))] -= 1
    before, now = outcome_of(base, after, m, k), outcome_of(base, worse, m, k)
    assert not (before.outcome != "pass" and now.outcome == "pass"), (before, now)


@laws
@given(paired_runs(), st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_no_outcome(
    runs: tuple[list[int], list[int], int, int], random: object
) -> None:
    base, after, m, k = runs
    order = list(range(len(base)))
    random.shuffle(order)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    shuffled = outcome_of([base[i] for i in order], [after[i] for i in order], m, k)
    check = outcome_of(base, after, m, k)
    assert shuffled.outcome == check.outcome
    assert shuffled.p_value == pytest.approx(check.p_value, abs=1e-12)


def test_a_verdict_is_the_same_every_time() -> None:
    rules = [NO_MORE, Rule(max_regressed=0)]
    again = [judged(rules, candidate_with(3), steady_baseline()) for _ in range(2)]
    assert msgspec.json.encode(again[0]) == msgspec.json.encode(again[1])


def test_deciding_a_large_run_takes_a_fraction_of_a_second() -> None:
    rules, candidate, base = large_decision()
    took = []
    gc.collect()
    for _ in range(5):
        start = time.process_time()
        judged(rules, candidate, base)
        took.append(time.process_time() - start)
    assert min(took) < 0.15


def test_a_run_with_a_label_that_nobody_confirmed_is_never_green() -> None:
    run = steady_baseline()
    first, *others = run.header.cases
    drafted = replace(run, header=replace(run.header, cases=(replace(first, draft="x"), *others)))
    rules = [Rule(metric="accuracy", min=0.5)]
    assert judged(rules, run).exit_code == 0
    found = judged(rules, drafted)
    assert (found.outcome, found.exit_code) == ("undecided", 3)
    assert f"1 of {len(run.header.cases)} cases has a draft" in found.reason
    assert first.id in found.reason
