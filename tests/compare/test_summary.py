"""Counts that always sum to the selection, and means that nothing unusable can enter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.compare.scores import build_score_table
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.gate_result import MetricSummary
from evalkit.core.literals import TRIAL_STATES, TrialState
from evalkit.core.run import MetricInfo, Run
from evalkit.core.trial import Output, Score, Trial
from tests.support.run_samples import Cell, make_run

LATENCY = MetricInfo(name="latency_s", unit="s", higher_is_better=False, digest="d")


def summary_of(run: Run, metric: str, tag: str | None = None) -> MetricSummary:
    return next(
        one
        for one in summarize_table(build_score_table(run))
        if (one.metric, one.tag) == (metric, tag)
    )


def test_every_trial_is_counted_in_its_own_state() -> None:
    cells: dict[str, dict[str, list[Cell]]] = {
        "accuracy": {
            "good": [True, False],
            "judge": ["judge_error", True],
            "metric": ["metric_error", "unscored"],
            "other": ["skipped", True],
            "gone": [True, True],
        }
    }
    run = make_run(cells, lost=[("gone", 0)], absent=[("gone", 1)])
    expected: dict[TrialState, int] = {
        "scored": 4,
        "agent_error": 1,
        "judge_error": 1,
        "metric_error": 1,
        "unscored": 1,
        "skipped": 1,
        "not_run": 1,
    }
    assert tally_table(build_score_table(run)).counts == expected
    assert tally_table(build_score_table(run)).errors == 5


def test_trials_outside_the_selection_are_not_counted() -> None:
    run = make_run({"accuracy": {"a": [True, True]}})
    stray = Trial(case_id="ghost", number=0, output=Output())
    beyond = replace(run.trials[0], number=7)
    again = replace(run.trials[1], scores=())
    counted = tally_table(
        build_score_table(replace(run, trials=(*run.trials, stray, beyond, again)))
    )
    assert counted.selected == 2
    assert counted.counts["scored"] == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, None])
def test_a_value_that_is_no_number_is_an_error_and_enters_no_mean(value: float | None) -> None:
    run = make_run({"accuracy": {"a": [1.0], "b": [0.0]}})
    broken = replace(run.trials[0], scores=(Score(metric="accuracy", value=value, passed=True),))
    run = replace(run, trials=(broken, run.trials[1]))
    assert tally_table(build_score_table(run)).counts["metric_error"] == 1
    summary = summary_of(run, "accuracy")
    assert (summary.mean, summary.rate, summary.p99) == (0.0, 0.0, 0.0)
    assert (summary.scored, summary.due, summary.missing) == (1, 2, {"metric_error": 1})


def test_a_summary_is_over_what_was_scored_and_says_what_is_missing() -> None:
    cells: dict[str, dict[str, list[Cell]]] = {
        "accuracy": {"a": [1.0, 1.0], "b": [0.0, "judge_error"], "c": [1.0, 0.0]}
    }
    summary = summary_of(make_run(cells, lost=[("c", 1)]), "accuracy")
    assert summary.mean == pytest.approx(2 / 3)
    assert (summary.scored, summary.due) == (4, 6)
    assert summary.missing == {"judge_error": 1, "agent_error": 1}


def test_every_case_weighs_the_same_however_many_of_its_trials_were_scored() -> None:
    cells: dict[str, dict[str, list[Cell]]] = {
        "accuracy": {"a": [1.0, 1.0, 1.0], "b": [0.0, "unscored", "unscored"]}
    }
    assert summary_of(make_run(cells), "accuracy").mean == 0.5


def test_quantiles_are_over_all_trials_and_measurements_have_no_rate() -> None:
    run = make_run({"latency_s": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}, infos=[LATENCY])
    summary = summary_of(run, "latency_s")
    assert (summary.p50, summary.mean, summary.rate) == (2.5, 2.5, None)
    assert summary.p95 == pytest.approx(3.85)


def test_a_metric_is_summarised_for_each_tag_it_applies_to() -> None:
    cells: dict[str, dict[str, list[Cell]]] = {
        "accuracy": {"a": [1.0], "b": [0.0], "c": [1.0]},
        "tone": {"b": [1.0]},
    }
    run = make_run(cells, tags={"a": ["refunds"], "b": ["refunds", "rude"], "c": []})
    found = {
        (one.metric, one.tag): (one.mean, one.due)
        for one in summarize_table(build_score_table(run))
    }
    assert found == {
        ("accuracy", None): (pytest.approx(2 / 3), 3),
        ("accuracy", "refunds"): (0.5, 2),
        ("accuracy", "rude"): (0.0, 1),
        ("tone", None): (1.0, 1),
        ("tone", "refunds"): (1.0, 1),
        ("tone", "rude"): (1.0, 1),
    }


def test_a_metric_skipped_on_a_case_is_not_due_there() -> None:
    run = make_run({"accuracy": {"a": [1.0], "b": ["skipped"]}, "tone": {"a": [1.0], "b": [1.0]}})
    assert summary_of(run, "accuracy").due == 1
    assert list(build_score_table(run).scores["accuracy"]) == ["a"]


def test_without_one_score_there_are_no_numbers_rather_than_wrong_ones() -> None:
    run = make_run({"accuracy": {"a": [1.0], "b": [1.0]}}, lost=[("a", 0)], absent=[("b", 0)])
    summary = summary_of(run, "accuracy")
    assert (summary.mean, summary.rate, summary.p50) == (None, None, None)
    assert (summary.due, summary.missing) == (2, {"agent_error": 1, "not_run": 1})


STATES: st.SearchStrategy[Cell] = st.sampled_from(
    ["judge_error", "metric_error", "unscored", "skipped"]
)
CELLS = st.one_of(st.floats(0, 1), st.floats(allow_nan=True, allow_infinity=True), STATES)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(
        st.sampled_from("abcdef"), st.lists(CELLS, min_size=2, max_size=2), min_size=1
    ),
    lost=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 1))),
    absent=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 1))),
)
def test_the_counts_always_sum_to_the_selection_and_nan_never_appears(
    rows: Mapping[str, Sequence[Cell]],
    lost: Sequence[tuple[str, int]],
    absent: Sequence[tuple[str, int]],
) -> None:
    run = make_run({"accuracy": rows}, lost=lost, absent=absent)
    counted = tally_table(build_score_table(run))
    assert counted.selected == len(run.header.cases) * run.header.trials
    assert sum(counted.counts.values()) == counted.selected
    assert list(counted.counts) == list(TRIAL_STATES)
    for summary in summarize_table(build_score_table(run)):
        numbers = (summary.mean, summary.rate, summary.p50, summary.p95, summary.p99)
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert summary.scored + sum(summary.missing.values()) == summary.due
