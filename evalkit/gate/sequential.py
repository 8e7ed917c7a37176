"""A run so far into whether another trial of every case is worth its cost.

One trial of every case is run and decided, then a second, then a third, and the first look that fails
or passes ends it: most changes are decided by one trial. Looking three times at the usual alpha would
fail unchanged agents too often, so every look gets less of it (group sequential testing, Pocock 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.compare.scores import ScoreTable, build_score_table
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run, RunHeader
from evalkit.gate.broken_cases import plan_fresh_trials
from evalkit.gate.decide import OnInconclusive, decide_gate, explain_incomplete_run

MAX_LOOKS = 3

MIN_BASE_TRIALS_FOR_LOOKS = 3
"""With fewer the weights of the exact test mislead, and the baseline's own noise blurs every look."""


def _is_binary(table: ScoreTable, rule: Rule) -> bool:
    """Whether a rule's metric gave nothing but 0 and 1 here."""
    info = table.infos.get(rule.metric)
    rows = table.scores.get(rule.metric, {}).values()
    return (
        info is not None
        and not info.unit
        and all(value in (0.0, 1.0) for row in rows for value in row.values)
    )


def is_sequential(rule: Rule, baseline: ScoreTable) -> bool:
    """Whether a rule asks if a 0/1 metric got worse, which further trials can settle."""
    compares = rule.max_drop is not None or rule.max_rise is not None
    if not compares or rule.test == "point":
        return False
    return rule.stat == "rate" or (rule.stat == "mean" and _is_binary(baseline, rule))


def count_looks(rules: Sequence[Rule], baseline: Run | None) -> int:
    """How many looks a run may take; 0 when none would settle anything and one trial is all."""
    if baseline is None or baseline.header.trials < MIN_BASE_TRIALS_FOR_LOOKS:
        return 0
    table = build_score_table(baseline)
    return MAX_LOOKS if any(is_sequential(rule, table) for rule in rules) else 0


def needs_another_look(verdict: GateResult, baseline: Run) -> bool:
    """Whether a further trial of every case may settle a 0/1 rule that is neither failed nor passed.

    A rule that failed settles the gate.
    """
    table = build_score_table(baseline)
    outcomes = {
        check.outcome
        for check in verdict.checks
        if not check.advisory and is_sequential(check.rule, table)
    }
    return "fail" not in outcomes and "inconclusive" in outcomes


def looks_note(run: Run, verdict: GateResult) -> str:
    """Why a run took as many looks as it did, and what that saved; empty when it was not up to it."""
    header = run.header
    if not header.looks or verdict.tally.counts["not_run"]:
        return ""
    taken = f"{header.trials} of {format_count(header.looks, 'trial')} of every case"
    saved = (header.looks - header.trials) * len(header.cases)
    if not saved:
        return f"Took {taken}, as those before left the gate undecided."
    if verdict.outcome == "undecided":
        return f"Stopped after {taken}, because more would not lead to a decision."
    return f"Decided after {taken}: {format_count(saved, 'agent run')} saved."


class StageResult(NamedTuple):
    """The verdict on a run so far, and the header it should go on with: None when it is at its end."""

    gate_result: GateResult
    next_header: RunHeader | None


def decide_stage(
    rules: Sequence[Rule],
    run: Run,
    baseline: Run,
    *,
    max_errors: int,
    on_inconclusive: OnInconclusive,
) -> StageResult:
    """Decide a run that did all it set out to do, and see what its results call for in turn."""
    header = run.header
    verdict = decide_gate(
        rules, run, baseline, max_errors=max_errors, on_inconclusive=on_inconclusive
    )
    if explain_incomplete_run(verdict.tally, max_errors):
        return StageResult(verdict, None)
    # Trials of all cases come first: fresh ones are numbered on from them.
    if not header.fresh and header.trials < header.looks and needs_another_look(verdict, baseline):
        return StageResult(verdict, replace(header, trials=header.trials + 1))
    fresh = {**header.fresh, **plan_fresh_trials(rules, run, baseline)}
    return StageResult(verdict, replace(header, fresh=fresh) if fresh != header.fresh else None)
