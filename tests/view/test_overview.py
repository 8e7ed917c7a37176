"""The home page: sets by the result of their newest whole run, and one threshold that says most."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalkit.compare.history import HistoryResult, HistoryThreshold
from evalkit.core.literals import Outcome
from evalkit.view.catalog import Listing, StoredRun
from evalkit.view.overview import (
    KnownResult,
    count_failing,
    course_plot,
    group_sets,
    order_sets,
    select_threshold,
    set_view,
    short_time,
)

SCORE = HistoryThreshold(name="score", metric="score", outcome="pass", value=0.9, limit=0.8)
CASES = HistoryThreshold(name="must pass", outcome="fail", value=53.0)


def stored(run_id: str, evalset: str, **changes: object) -> StoredRun:
    run = StoredRun(
        id=run_id,
        folder=Path(run_id),
        state="finished",
        evalset=evalset,
        evalset_path=f"{evalset}.yaml",
        agent="agent",
        created="2026-11-30T11:58:36Z",
    )
    return replace(run, **changes)  # type: ignore[arg-type] # the fields of a run, by name


def result_of(outcome: Outcome, *thresholds: HistoryThreshold) -> KnownResult:
    return KnownResult(
        HistoryResult(outcome=outcome, exit_code=0, reason="why", thresholds=thresholds)
    )


def test_sets_are_ordered_by_their_newest_run_of_the_whole_set() -> None:
    runs = (
        stored("9", "good"),
        stored("8", "bad", selection="-k one"),
        stored("7", "bad", command="bisect"),
        stored("6", "bad", shard="1/2"),
        stored("5", "bad", state="running"),
        stored("4-base", "bad"),
        stored("4", "bad"),
        stored("3", "open"),
        stored("2", "none", command="ask"),
        stored("1", "", state="unreadable", problem="broken"),
    )
    found = {"9": result_of("pass"), "4": result_of("fail"), "3": result_of("inconclusive")}
    sets = order_sets(group_sets(Listing(runs=runs)), lambda run: found[run.id])
    assert [each.path for each in sets] == ["bad.yaml", "open.yaml", "none.yaml", "good.yaml"]
    assert [run.id for run in sets[0].decided] == ["4"]
    assert count_failing(sets, lambda run: found[run.id]) == "1 of 4 fails at its newest run"
    view = set_view(sets[2], lambda run: found[run.id], "href", lambda _: "")
    assert (view["word"], view["sentence"]) == (
        "no verdict",
        "No run of the whole set is finished.",
    )


def test_the_threshold_that_says_most_is_a_failed_one_of_a_metric() -> None:
    failed = replace(SCORE, name="low", outcome="fail")
    primary = replace(SCORE, name="first", primary=True)
    advisory = replace(failed, name="other", advisory=True)
    for thresholds, name in (
        ((SCORE, advisory, CASES, primary, failed), "low"),
        ((SCORE, CASES, primary), "first"),
        ((CASES, SCORE), "score"),
    ):
        selected = select_threshold(
            HistoryResult(outcome="fail", exit_code=1, reason="", thresholds=thresholds)
        )
        assert selected is not None
        assert selected.name == name
    counted = HistoryResult(outcome="fail", exit_code=1, reason="", thresholds=(CASES,))
    assert select_threshold(counted) is None, "a number of cases is no share"


def test_a_course_is_of_one_agent_and_leaves_out_what_is_unknown() -> None:
    values = {"5": 0.7, "4": 0.8, "3": None, "2": 0.9}
    runs = (*(stored(run_id, "s") for run_id in values), stored("1", "s", agent="another"))
    [summary] = group_sets(Listing(runs=runs))

    def find(run: StoredRun) -> KnownResult:
        threshold = replace(SCORE, value=values.get(run.id, 0.1))
        return result_of("fail" if run.id == "5" else "pass", threshold)

    plot = course_plot(summary, SCORE, find)
    assert plot is not None
    assert [outcome for _, _, outcome in plot["marks"]] == ["pass", "pass", "fail"]
    assert plot["label"] == "score over 3 runs: first 90.0%, newest 70.0%"
    xs = [x for x, _, _ in plot["marks"]]
    assert xs == sorted(xs)
    ys = [y for _, y, _ in plot["marks"]]
    assert ys == sorted(ys), "lower values are drawn lower"
    top, bottom = plot["zone"]
    assert ys[0] < top <= ys[2] < bottom
    upper = course_plot(summary, replace(SCORE, is_upper=True), find)
    assert upper is not None
    assert upper["zone"][0] == 0
    [single] = group_sets(Listing(runs=runs[:1]))
    assert course_plot(single, SCORE, find) is None


def test_a_time_that_is_none_is_shown_as_it_is() -> None:
    assert short_time("yesterday") == "yesterday"
    assert short_time("2026-13-01T00:00:00Z") == "2026-13-01T00:00:00Z"
