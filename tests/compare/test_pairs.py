"""Two runs side by side: only what is the same is compared, and what is not is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from evalkit.compare.pairs import compare_runs, pair_scores
from evalkit.compare.scores import build_score_table
from evalkit.core.errors import NotComparable
from evalkit.core.gate_result import CaseChange, CaseStatus, MetricChange
from evalkit.core.run import MetricInfo
from tests.support.run_samples import Cell, counted, make_run

Accuracy = Mapping[str, Sequence[Cell]]
LATENCY = MetricInfo(name="latency_s", unit="s", higher_is_better=False, digest="d")


def change_of(base: Accuracy, candidate: Accuracy, case: str = "a") -> CaseChange:
    comparison = compare_runs(make_run({"accuracy": base}), make_run({"accuracy": candidate}))
    return next(change for change in comparison.cases if change.case_id == case)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ([1, 1, 1], [1], "unchanged"),
        ([1, 1, 1], [0], "regressed"),
        ([1, 1, 0], [0], "regressed"),
        ([0, 0, 1], [1], "fixed"),
        ([1, 0], [0], "unchanged"),
        ([1, 0], [1], "fixed"),
        ([1, 1, 1], [1, 1, 0], "changed"),
        ([1, 1, 0], [1], "unchanged"),
        ([0.8, 0.9], [0.85], "unchanged"),
        ([0.8, 0.9], [0.7], "changed"),
        (["unscored", "unscored"], [1], "not_scored"),
        ([1, 1], ["judge_error"], "not_scored"),
    ],
)
def test_a_case_is_judged_by_more_than_half_of_its_complete_trials(
    before: Sequence[Cell], after: Sequence[Cell], status: CaseStatus
) -> None:
    assert change_of({"a": before}, {"a": after}).status == status


def test_passes_are_counted_and_wavering_baselines_are_flagged() -> None:
    change = change_of(counted({"a": (7, 10)}), counted({"a": (0, 2)}))
    assert change == CaseChange(
        case_id="a",
        status="regressed",
        flaky=True,
        base_passed=7,
        base_trials=10,
        passed=0,
        trials=2,
    )


def test_added_removed_and_edited_cases_are_named_and_not_compared() -> None:
    base = make_run({"accuracy": {"a": [1], "b": [1], "c": [0]}})
    candidate = make_run({"accuracy": {"new": [0], "b": [0], "a": [1]}}, digests={"b": "edited"})
    comparison = compare_runs(base, candidate)
    assert [(change.case_id, change.status) for change in comparison.cases] == [
        ("new", "added"),
        ("b", "edited"),
        ("a", "unchanged"),
        ("c", "removed"),
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
    assert comparison.cases[0].status == "unchanged"
    assert [note.split(",")[0] for note in comparison.notes] == [
        "Not compared: tone",
        "Not compared: fresh",
        "Not compared: gone",
    ]


def test_a_measurement_neither_passes_a_case_nor_changes_it() -> None:
    base = make_run({"accuracy": {"a": [1]}, "latency_s": {"a": [1.0]}}, infos=[LATENCY])
    candidate = make_run({"accuracy": {"a": [1]}, "latency_s": {"a": [9.0]}}, infos=[LATENCY])
    comparison = compare_runs(base, candidate)
    assert comparison.cases[0].status == "unchanged"
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
    assert [change.status for change in comparison.cases] == ["added", "removed"]
