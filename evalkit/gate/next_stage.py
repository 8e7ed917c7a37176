"""Decide a run after a stage, and plan the further trials that the result requires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.compare.scores import build_score_table
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run, RunHeader
from evalkit.gate.broken_cases import plan_fresh_trials
from evalkit.gate.budget import is_within_budget
from evalkit.gate.decide import decide_gate
from evalkit.gate.outcome import OnInconclusive, explain_incomplete_run
from evalkit.gate.reruns import plan_next_look
from evalkit.gate.sequential import needs_another_look


class StageResult(NamedTuple):
    """The result of a run so far, and the header of its next stage; None if the run is complete."""

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
    """Decide a run after all its trials, and plan the further trials that the result requires.

    Further trials that are not within the run's budget are left out.
    """
    header = run.header
    result = decide_gate(
        rules, run, baseline, max_errors=max_errors, on_inconclusive=on_inconclusive
    )
    if explain_incomplete_run(run, result.tally, max_errors):
        return StageResult(result, None)
    look = _find_next_look(result, run, baseline)
    if look is not None and is_within_budget(look, run, baseline):
        return StageResult(result, look)
    fresh = {**header.fresh, **plan_fresh_trials(rules, run, baseline)}
    repeated = replace(header, fresh=fresh)
    is_next = fresh != header.fresh and is_within_budget(repeated, run, baseline)
    return StageResult(result, repeated if is_next else None)


def lacks_budget_for_look(result: GateResult, run: Run, baseline: Run | None) -> bool:
    """Return whether a run ended undecided because its budget does not buy the next look."""
    if baseline is None or run.header.budget is None or not run.finished:
        return False
    look = _find_next_look(result, run, baseline)
    return look is not None and not is_within_budget(look, run, baseline)


def _find_next_look(result: GateResult, run: Run, baseline: Run) -> RunHeader | None:
    """Return the header of the look that the result requires; None if there is none."""
    header = run.header
    # Looks come before fresh trials, which are numbered after the trials of all cases.
    if header.fresh or header.trials >= header.looks or not needs_another_look(result, baseline):
        return None
    return plan_next_look(build_score_table(run), build_score_table(baseline))
