"""A run that reports less than its baseline, or less in some cases, proves nothing by its silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit.core.eval_set import Rule
from evalkit.core.format import name_rule
from evalkit.core.gate_result import GateResult
from evalkit.core.literals import ScoreState
from evalkit.core.run import MetricInfo, Run
from evalkit.core.trial import Score
from evalkit.gate.decide import decide_gate
from tests.support.run_samples import Cell, Made, make_run

COST = MetricInfo(name="cost", unit="usd", higher_is_better=False, digest="d")
IDS = [f"c{number}" for number in range(10)]
SILENT: ScoreState = "skipped"


def run_of(metric: str, cells: dict[str, list[Cell]], **made: Any) -> Run:
    """A run whose skipped scores say what the agent did not report."""
    infos = [COST] if metric == COST.name else []
    other: dict[str, list[Cell]] = {case_id: [1.0] * len(row) for case_id, row in cells.items()}
    run = make_run({metric: cells, "other": other}, Made(infos=infos, **made))
    trials = [
        replace(
            trial,
            scores=tuple(
                Score(metric=score.metric, state="skipped", unreported="tool calls")
                if score.state == "skipped"
                else score
                for score in trial.scores
            ),
        )
        for trial in run.trials
    ]
    return replace(run, trials=tuple(trials))


def decide(rule: Rule, run: Run, baseline: Run | None = None) -> GateResult:
    return decide_gate([rule], run, baseline, max_errors=0, on_inconclusive="pass")


def with_silence(count: int, value: Cell = 1.0, trials: int = 2) -> dict[str, list[Cell]]:
    """Ten cases, of which the last `count` are silent."""
    rows: list[list[Cell]] = [[value] * trials] * (10 - count)
    silent: list[list[Cell]] = [[SILENT] * trials] * count
    return dict(zip(IDS, [*rows, *silent], strict=True))


RULES = [
    Rule(metric="m", min=0.9, test="point"),
    Rule(metric="m", max_drop=0.02),
    Rule(metric="m", max_drop=0.02, test="point"),
    Rule(metric="m", stat="rate", min=0.9, test="point"),
    Rule(must_pass=()),
    Rule(max_regressed=0),
]


@pytest.mark.parametrize("rule", RULES, ids=name_rule)
def test_cases_that_fell_silent_leave_a_threshold_undecided(rule: Rule) -> None:
    result = decide(rule, run_of("m", with_silence(6)), run_of("m", with_silence(0)))
    assert (result.outcome, result.exit_code) == ("undecided", 3), result.reason
    sentence = result.checks[0].sentence
    assert "not comparable" in sentence
    assert "does not report tool calls" in sentence
    assert "in 6 of 10 cases (c4, c5, c6, c7, c8 and 1 more); the baseline does." in sentence


@pytest.mark.parametrize("rule", RULES, ids=name_rule)
def test_what_the_baseline_never_reported_is_no_silence(rule: Rule) -> None:
    both = with_silence(6)
    result = decide(rule, run_of("m", both), run_of("m", both))
    assert result.outcome in ("pass", "inconclusive"), result.reason


@pytest.mark.parametrize("rule", [RULES[0], RULES[3], RULES[4]], ids=name_rule)
def test_without_a_baseline_the_other_cases_of_the_run_tell_what_can_be_reported(
    rule: Rule,
) -> None:
    result = decide(rule, run_of("m", with_silence(6)))
    assert (result.outcome, result.exit_code) == ("undecided", 3), result.reason
    assert "other cases of it do" in result.checks[0].sentence


def test_some_silent_trials_of_every_case_count_as_well() -> None:
    baseline = run_of("m", with_silence(0))
    half = run_of("m", {case_id: [1.0, SILENT] for case_id in IDS})
    assert decide(RULES[0], half, baseline).exit_code == 3
    # A baseline that reported as little has nothing to compare with.
    assert decide(RULES[0], half, half).exit_code == 0


def test_silence_that_cannot_change_the_outcome_is_only_noted() -> None:
    rule = Rule(metric="m", min=0.8, test="point")
    result = decide(rule, run_of("m", with_silence(1)), run_of("m", with_silence(0)))
    assert (result.outcome, result.exit_code) == ("pass", 0)
    assert any("tool calls in 1 of 10 cases (c9)" in note for note in result.notes), result.notes
    # Nor does it excuse a threshold that fails in any case.
    failing = run_of("m", with_silence(1, value=0.0))
    assert decide(rule, failing, run_of("m", with_silence(0))).exit_code == 1


def test_a_cost_that_is_not_reported_may_be_of_any_size() -> None:
    rule = Rule(metric="cost", max=5.0, test="point")
    baseline = run_of("cost", with_silence(0))
    assert decide(rule, run_of("cost", with_silence(1)), baseline).exit_code == 3
    assert decide(rule, baseline, baseline).exit_code == 0


def test_silence_counts_only_where_a_threshold_looks() -> None:
    tags = {case_id: ["quiet" if case_id == "c9" else "loud"] for case_id in IDS}
    run, baseline = (run_of("m", with_silence(count), tags=tags) for count in (1, 0))
    quiet, loud = (Rule(metric="m", tag=tag, min=0.9, test="point") for tag in ("quiet", "loud"))
    assert decide(quiet, run, baseline).exit_code == 3
    result = decide(loud, run, baseline)
    assert (result.exit_code, [note for note in result.notes if "report" in note]) == (0, [])
    assert decide(Rule(must_pass=("loud",)), run, baseline).exit_code == 0


def test_an_edited_case_is_held_against_the_other_cases() -> None:
    baseline = run_of("m", with_silence(10))
    edited = dict.fromkeys(IDS[5:], "edited")
    silent = run_of("m", with_silence(10), digests=edited)
    assert "it scores none of these cases" in decide(RULES[0], silent, baseline).reason
    spoken = run_of("m", with_silence(5), digests=edited)
    assert decide(RULES[0], spoken, baseline).exit_code == 3
