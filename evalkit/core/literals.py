"""The type of JSON values, and the words that records use for roles, states, and outcomes."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

Json: TypeAlias = Any
"""A value of strict JSON: null, bool, finite number, text, list, or object with text keys."""

RunCommand: TypeAlias = Literal["run", "ask", "score", "baseline", "bisect"]
Role: TypeAlias = Literal["system", "user", "assistant"]
ScoreState: TypeAlias = Literal["scored", "metric_error", "judge_error", "unscored", "skipped"]
TrialState: TypeAlias = Literal[
    "scored", "agent_error", "judge_error", "metric_error", "unscored", "skipped", "not_run"
]
Stat: TypeAlias = Literal["mean", "rate", "p50", "p95", "p99"]
Outcome: TypeAlias = Literal["pass", "fail", "inconclusive", "undecided"]
CaseStatus: TypeAlias = Literal[
    "regressed",
    "failing",
    "error",
    "flaky",
    "still_failing",
    "not_run",
    "fixed",
    "passed",
    "not_scored",
    "removed",
]

COMPLETE = "COMPLETE"
"""The word for a shard without errors, which has no thresholds that it could pass."""

TRIAL_STATES: tuple[TrialState, ...] = get_args(TrialState)


def result_word(
    outcome: Outcome, *, is_accepted: bool = False, needs_approval: bool = False
) -> str:
    """Return the word for the result of a run: its outcome, or that a person accepted it or has to."""
    if needs_approval:
        return "NEEDS APPROVAL"
    return "ACCEPTED" if is_accepted else outcome.upper()
