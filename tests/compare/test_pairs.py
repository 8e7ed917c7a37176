"""Two runs side by side: only what is the same is compared, and what is not is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from evalkit.compare.matrix import build_matrix
from evalkit.compare.pairs import compare_runs, pair_scores
from evalkit.compare.scores import build_score_table
from evalkit.core.errors import NotComparable
from evalkit.core.gate_result import CaseChange, MetricChange, MetricPasses
from evalkit.core.literals import CaseStatus
from evalkit.core.run import MetricInfo
from evalkit.report.case_status import metric_passes_change, passes_change
from tests.support.run_samples import Cell, counted, make_run

Accuracy = Mapping[str, Sequence[Cell]]
LATENCY = MetricInfo(name="latency_s", unit="s", higher_is_better=False, digest="d")


def change_of(base: Accuracy, candidate: Accuracy, case: str = "a") -> CaseChange:
    comparison = compare_runs(make_run({"accuracy": base}), make_run({"accuracy": candidate}))
    return next(change for change in comparison.cases if change.case_id == case)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ([1, 1, 1], [1], "passed"),
        ([1, 1, 1], [0], "regressed"),
        ([1, 1, 1], [1, 0, 0], "regressed"),
        ([1, 1, 1], [1, 1, 0], "flaky"),
        ([1, 1, 0], [0], "flaky"),
        ([1] * 9 + [0], [0], "regressed"),
        ([1] * 8 + [0] * 2, [0], "flaky"),
        ([1] * 6 + [0] * 4, [0], "flaky"),
        ([0, 0, 0], [1], "fixed"),
        ([0, 0, 1], [1], "flaky"),
        ([0] * 9 + [1], [1], "fixed"),
        ([0] * 8 + [1] * 2, [1], "flaky"),
        ([0, 0, 1], [0], "flaky"),
        ([0, 0], [0], "still_failing"),
        ([0, 0], [0, 1], "flaky"),
        ([1, 0], [0], "flaky"),
        ([1, 1, 0], [1], "flaky"),
        ([0.8, 0.9], [0.85], "passed"),
        ([0.8, 0.9], [0.7], "passed"),
        ([1, 1], ["judge_error"], "error"),
        ([1, 1], [1, "judge_error"], "error"),
        ([1, 1], [0, "judge_error"], "regressed"),
        (["unscored", "unscored"], [1], "passed"),
        (["unscored", "unscored"], [0], "failing"),
        (["unscored", "unscored"], [1, 0, 1], "flaky"),
        ([1], ["skipped"], "not_scored"),
    ],
)
def test_the_status_of_a_case_follows_from_its_complete_trials(
    before: Sequence[Cell], after: Sequence[Cell], status: CaseStatus
) -> None:
    assert change_of({"a": before}, {"a": after}).status == status


def test_a_score_outside_the_range_of_the_baseline_is_flagged() -> None:
    base = {"a": [0.8, 0.9]}
    assert [change_of(base, {"a": [now]}).score_changed for now in (0.85, 0.7)] == [False, True]


def test_passes_are_counted_and_wavering_baselines_are_flagged() -> None:
    change = change_of(counted({"a": (7, 10)}), counted({"a": (0, 2)}))
    assert change == CaseChange(
        case_id="a",
        status="regressed",
        flaky=True,
        score_changed=False,
        newly_failing=True,
        base_passed=7,
        base_trials=10,
        passed=0,
        trials=2,
        passed_all=0,
    )


def test_added_removed_and_edited_cases_are_named_and_not_compared() -> None:
    base = make_run({"accuracy": {"a": [1], "b": [1], "c": [0]}})
    candidate = make_run({"accuracy": {"new": [0], "b": [0], "a": [1]}}, digests={"b": "edited"})
    comparison = compare_runs(base, candidate)
    assert [(each.case_id, each.origin, each.status) for each in comparison.cases] == [
        ("new", "added", "failing"),
        ("b", "edited", "failing"),
        ("a", "shared", "passed"),
        ("c", "removed", "removed"),
    ]
    assert comparison.metrics[0].cases == 1
    assert comparison.notes == (
        "Not compared, not in the baseline: 1 case (new).",
        "Not compared, in the baseline and no longer in the set: 1 case (c).",
        "Not compared, not the same case as in the baseline: 1 case (b).",
    )


def test_what_was_not_selected_was_not_removed() -> None:
    base = make_run({"accuracy": {"a": [1], "b": [1], "c": [0]}})
    comparison = compare_runs(base, make_run({"accuracy": {"a": [1]}}, selection="-k a"))
    assert [change.case_id for change in comparison.cases] == ["a"]
    assert comparison.notes == ("Not selected in this run: 2 cases of the baseline.",)


def test_metrics_are_compared_over_the_shared_cases_overall_and_by_tag() -> None:
    tags = {"a": ["refunds"], "b": ["refunds"], "c": []}
    base = make_run({"accuracy": counted({"a": (10, 10), "b": (5, 10), "c": (0, 10)})}, tags=tags)
    candidate = make_run(
        {"accuracy": counted({"a": (1, 2), "b": (2, 2), "new": (2, 2)})}, tags=tags
    )
    overall, refunds = compare_runs(base, candidate).metrics
    assert (overall.base, overall.candidate, overall.cases) == (0.75, 0.75, 2)
    assert (refunds.tag, refunds.base, refunds.candidate) == ("refunds", 0.75, 0.75)
    assert overall.difference == 0.0


def test_a_metric_defined_anew_or_on_one_side_only_is_named_with_the_reason() -> None:
    old = [MetricInfo(name="tone", digest="1"), MetricInfo(name="accuracy", digest="d")]
    new = [MetricInfo(name="tone", digest="2"), MetricInfo(name="accuracy", digest="d")]
    row: Accuracy = {"a": [1]}
    base = make_run({"accuracy": row, "tone": row, "gone": row}, infos=old)
    candidate = make_run({"accuracy": row, "tone": {"a": [0]}, "fresh": row}, infos=new)
    comparison = compare_runs(base, candidate)
    reasons = {change.metric: change.why_not for change in comparison.metrics}
    assert reasons == {
        "accuracy": "",
        "tone": "it was measured differently in the baseline (its definition has changed since)",
        "fresh": "it is not in the baseline",
        "gone": "it is not in this run",
    }
    assert all(change.base is None for change in comparison.metrics if change.why_not)
    assert comparison.cases[0].status == "failing", "by a metric that the baseline lacks"
    assert [note.split(",")[0] for note in comparison.notes] == [
        "Not compared: tone",
        "Not compared: fresh",
        "Not compared: gone",
    ]


def test_a_measurement_neither_passes_a_case_nor_changes_it() -> None:
    base = make_run({"accuracy": {"a": [1]}, "latency_s": {"a": [1.0]}}, infos=[LATENCY])
    candidate = make_run({"accuracy": {"a": [1]}, "latency_s": {"a": [9.0]}}, infos=[LATENCY])
    comparison = compare_runs(base, candidate)
    assert comparison.cases[0].status == "passed"
    assert comparison.metrics[1] == MetricChange(
        metric="latency_s", unit="s", higher_is_better=False, base=1.0, candidate=9.0, cases=1
    )


def test_trials_lost_in_the_baseline_are_said_and_not_counted_as_failures() -> None:
    base = make_run({"accuracy": {"a": [1, 1, 1]}}, lost=[("a", 0), ("a", 2)])
    comparison = compare_runs(base, make_run({"accuracy": {"a": [1]}}))
    assert comparison.cases[0].base_passed == comparison.cases[0].base_trials == 1
    assert comparison.notes == (
        "2 trials of the baseline have no complete score and are left out.",
    )


def test_many_names_are_cut_to_a_few_and_a_count() -> None:
    candidate = make_run({"accuracy": {f"case-{number}": [1] for number in range(9)}})
    (note,) = compare_runs(make_run({"accuracy": {"case-0": [1]}}), candidate).notes
    assert note.endswith("8 cases (case-1, case-2, case-3, case-4, case-5 and 3 more).")


def test_pairs_keep_the_order_of_the_candidate_and_only_cases_scored_on_both_sides() -> None:
    base = make_run({"accuracy": {"a": [1, 0], "b": [1, 1], "c": [0, 0], "d": [1, 1]}})
    candidate = make_run(
        {"accuracy": {"d": [0.0], "c": ["unscored"], "b": [1.0], "a": [0.0]}}, lost=[("a", 0)]
    )
    pairs = pair_scores(build_score_table(base), build_score_table(candidate), "accuracy")
    assert [case.id for case in pairs.cases] == ["d", "b"]
    assert pairs.base == ((1.0, 1.0), (1.0, 1.0))
    assert pairs.candidate == ((0.0,), (1.0,))


def test_with_flags_the_pairs_are_passes_and_have_no_unit() -> None:
    info = MetricInfo(name="score", unit="stars", digest="d")
    run = make_run({"score": {"a": [4.0]}}, infos=[info])
    trial = run.trials[0]
    flagged = replace(trial, scores=(replace(trial.scores[0], passed=True),))
    table = build_score_table(replace(run, trials=(flagged,)))
    pairs = pair_scores(table, table, "score", flags=True)
    assert (pairs.base, pairs.info.unit) == (((1.0,),), "")


@pytest.mark.parametrize(
    ("metric", "tag", "reason"),
    [
        ("acuracy", None, "it is not in this run"),
        ("fresh", None, "it is not in the baseline"),
        ("accuracy", "rude", "no case with tag 'rude' is the same in this run and in the baseline"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_the_reason(
    metric: str, tag: str | None, reason: str
) -> None:
    base = build_score_table(make_run({"accuracy": {"a": [1]}}))
    candidate = build_score_table(make_run({"accuracy": {"a": [1]}, "fresh": {"a": [1]}}))
    with pytest.raises(NotComparable) as caught:
        pair_scores(base, candidate, metric, tag=tag)
    assert str(caught.value) == reason


def test_two_runs_with_nothing_in_common_compare_to_nothing() -> None:
    comparison = compare_runs(make_run({"accuracy": {"a": [1]}}), make_run({"tone": {"b": [1]}}))
    assert {change.why_not == "" for change in comparison.metrics} == {False}
    assert [change.origin for change in comparison.cases] == ["added", "removed"]


def test_a_metric_that_newly_fails_is_named_with_its_counts_beside_those_of_its_case() -> None:
    base = make_run({"has": {"a": [1] * 5}, "strict": {"a": [0] * 5}})
    (change,) = compare_runs(base, make_run({"has": {"a": [0]}, "strict": {"a": [0]}})).cases
    assert change.status == "regressed"
    assert (change.base_passed, change.base_trials, change.passed, change.trials) == (0, 5, 0, 1)
    assert change.on_metric == MetricPasses("has", 5, 5, 0, 1)
    assert passes_change(change) == "0/5 -> 0/1"
    assert metric_passes_change(change) == "has 5/5 -> 0/1"


def test_passes_by_the_metrics_of_the_baseline_say_so_where_the_run_has_more() -> None:
    base = make_run({"has": {"a": [1] * 5}})
    (change,) = compare_runs(base, make_run({"has": {"a": [1]}, "strict": {"a": [0]}})).cases
    assert change.status == "failing"
    assert passes_change(change) == "5/5 -> 1/1 by the metrics of the baseline, 0/1 by all"


def test_a_matrix_and_a_comparison_of_two_runs_give_each_case_the_same_status() -> None:
    runs = [
        make_run({"has": counted(rows)})
        for rows in (
            {"a": (3, 3), "b": (2, 3), "c": (0, 3)},
            {"a": (0, 3), "b": (0, 3), "c": (3, 3)},
            {"a": (3, 3), "b": (3, 3), "c": (0, 3)},
        )
    ]
    matrix = build_matrix(runs, ("v1", "v2", "v3"))
    pairs = [
        {change.case_id: change.status for change in compare_runs(runs[0], run).cases}
        for run in runs[1:]
    ]
    assert {case.case_id: case.statuses for case in matrix.cases} == {
        case_id: tuple(by_case[case_id] for by_case in pairs) for case_id in ("a", "b", "c")
    }
