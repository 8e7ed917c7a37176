"""Find the status of every case of a run and the reason, in the words that all reports share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.compare.scores import is_usable, trial_state
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange, GateResult
from evalkit.core.literals import CaseResultStatus, Json, TrialState
from evalkit.core.run import Run
from evalkit.core.trial import Output, Score, Trial

STATUS_TEXTS: dict[CaseResultStatus, str] = {
    "regressed": "passed in the baseline, fails now",
    "failing": "fails, and is not excused by the baseline",
    "error": "not completely scored",
    "flaky": "fails now; its baseline trials already disagreed",
    "still_failing": "fails as in the baseline",
    "not_run": "was not run",
    "fixed": "failed in the baseline, passes now",
    "passed": "passes",
    "not_scored": "was not scored",
}
"""Every status of a case with its meaning, worst first."""

BROKEN_STATUSES: tuple[CaseResultStatus, ...] = ("regressed", "failing", "error")
"""The statuses that need attention."""

SECONDARY_STATUSES: dict[CaseResultStatus, str] = {
    "flaky": "Flaky in the baseline",
    "still_failing": "Failing as before",
    "not_run": "Not run",
    "fixed": "Fixed",
}
"""The statuses whose cases share one line, with the label of the line."""

_MAX_QUOTE_CHARS = 120
_MAX_NAMED_CASES = 6
_ERROR_STATES: tuple[TrialState, ...] = ("agent_error", "judge_error", "metric_error", "unscored")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One case of a run: its status, how many of its scored trials passed, and all its trials.

    `due` trials were planned. `base_passed` of `base_trials` passed in the baseline, whose trials are
    `base`; without a baseline `base_trials` is 0. `metric` is the metric that regressed, if one is
    named.
    """

    case: Case
    status: CaseResultStatus
    passed: int
    scored: int
    due: int
    trials: tuple[Trial, ...]
    flaky: bool = False
    base_passed: int = 0
    base_trials: int = 0
    base: tuple[Trial, ...] = ()
    metric: str = ""


def is_scored(trial: Trial) -> bool:
    """Return whether every metric of a trial has a usable value."""
    return trial_state(trial) == "scored"


def is_passed(trial: Trial) -> bool:
    """Return whether a trial is completely scored and passed."""
    return is_scored(trial) and trial.passed


class _FailedThresholdCases(NamedTuple):
    """The cases that failed thresholds name. They count as failing even if they were flaky before.

    A case in `every_trial` must pass all its trials. Any other case fails if at least half of its trials
    fail.
    """

    named: frozenset[str]
    every_trial: frozenset[str]


def _find_failed_cases(gate_result: GateResult) -> _FailedThresholdCases:
    failed = [
        check for check in gate_result.checks if check.outcome == "fail" and not check.advisory
    ]
    return _FailedThresholdCases(
        named=frozenset(hit.case_id for check in failed for hit in check.hits),
        every_trial=frozenset(
            hit.case_id
            for check in failed
            if check.rule.must_pass is not None
            for hit in check.hits
        ),
    )


def _decide_status(
    case_id: str,
    trials: Sequence[Trial],
    due: int,
    change: CaseChange | None,
    failed: _FailedThresholdCases,
) -> CaseResultStatus:
    scored, passed = sum(map(is_scored, trials)), sum(map(is_passed, trials))
    # As in the gate, a case passes if more than half of its trials do, so a tie fails.
    fails = scored > 0 and 2 * passed <= scored
    excused = change is not None and change.flaky and case_id not in failed.named
    # A regression is more important than an error in another trial of the case.
    if fails and change is not None and change.status == "regressed" and not excused:
        return "regressed"
    if not trials:
        return "not_run"
    if len(trials) < due or any(trial_state(trial) in _ERROR_STATES for trial in trials):
        return "error"
    if scored == 0:
        return "not_scored"
    if case_id in failed.every_trial and passed < scored:
        return "failing"
    if not fails:
        return "fixed" if change is not None and change.status == "fixed" else "passed"
    if change is None or case_id in failed.named:
        return "failing"
    if change.flaky:
        return "flaky"
    failed_before = change.base_trials > 0 and 2 * change.base_passed <= change.base_trials
    return "still_failing" if failed_before else "failing"


def _group_by_case(run: Run | None) -> dict[str, tuple[Trial, ...]]:
    trials: dict[str, list[Trial]] = {}
    for trial in run.trials if run else ():
        trials.setdefault(trial.case_id, []).append(trial)
    return {case_id: tuple(of_case) for case_id, of_case in trials.items()}


def case_results(
    run: Run, gate_result: GateResult, baseline: Run | None = None
) -> tuple[CaseResult, ...]:
    """Return every selected case with its status, in the order of the run."""
    comparison = gate_result.comparison
    changes = {change.case_id: change for change in comparison.cases} if comparison else {}
    failed = _find_failed_cases(gate_result)
    trials, base = _group_by_case(run), _group_by_case(baseline)
    due = run.header.planned_trials()
    results = []
    for case in run.header.cases:
        change = changes.get(case.id)
        own = trials.get(case.id, ())
        results.append(
            CaseResult(
                case=case,
                status=_decide_status(case.id, own, due[case.id], change, failed),
                passed=sum(map(is_passed, own)),
                scored=sum(map(is_scored, own)),
                due=due[case.id],
                trials=own,
                flaky=change is not None and change.flaky,
                base_passed=change.base_passed if change else 0,
                base_trials=change.base_trials if change else 0,
                base=base.get(case.id, ()),
                metric=change.metric if change else "",
            )
        )
    return tuple(results)


def worst_first(results: Iterable[CaseResult]) -> list[CaseResult]:
    """Return the broken cases by status, then by drop in pass rate, then in the order of the run."""

    def severity(result: CaseResult) -> tuple[int, float]:
        before = result.base_passed / result.base_trials if result.base_trials else 1.0
        now = result.passed / result.scored if result.scored else 0.0
        return BROKEN_STATUSES.index(result.status), now - before

    return sorted((r for r in results if r.status in BROKEN_STATUSES), key=severity)


def count_statuses(results: Iterable[CaseResult]) -> dict[CaseResultStatus, int]:
    """Return the number of cases of each status that occurs, worst status first."""
    counts = Counter(result.status for result in results)
    return {status: counts[status] for status in STATUS_TEXTS if counts[status]}


def status_counts_text(results: Iterable[CaseResult]) -> str:
    """Return the number of cases of each status as words: `2 regressed, 3 passed`."""
    words = [f"{count:,} {status}" for status, count in count_statuses(results).items()]
    return ", ".join(words).replace("_", " ") or "none"


def passes_text(passed: int, trials: int) -> str:
    """Return passes out of scored trials: `2/3`."""
    return f"{passed}/{trials}" if trials else "none"


def passes_change(result: CaseResult) -> str:
    """Return a case's passes, after those of the baseline if there is one: `3/3 -> 0/1`."""
    now = passes_text(result.passed, result.scored)
    if not result.base_trials:
        return now
    return f"{passes_text(result.base_passed, result.base_trials)} -> {now}"


def cases_with_passes(results: Sequence[CaseResult]) -> str:
    """Return the ids and passes of the first cases, and the number of further cases."""
    names = [f"{result.case.id} ({passes_change(result)})" for result in results[:_MAX_NAMED_CASES]]
    left_out = len(results) - len(names)
    return ", ".join(names) + (f" and {left_out:,} more" if left_out else "")


def trials_of(run: Run | None, case_id: str) -> tuple[Trial, ...]:
    """Return the trials of one case, none if there is no run."""
    return tuple(trial for trial in run.trials if trial.case_id == case_id) if run else ()


def metric_values(trials: Iterable[Trial], metric: str) -> list[float]:
    """Return the usable values of a metric."""
    return [
        score.value
        for trial in trials
        for score in trial.scores
        if score.metric == metric and is_usable(score) and score.value is not None
    ]


def json_text(value: Json) -> str:
    """Return text unchanged and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def input_text(case: Case) -> str:
    """Return the input of a case, a conversation as one line for each turn."""
    if isinstance(case.input, str):
        return case.input
    return "\n".join(f"{turn.role}: {turn.content}" for turn in case.input)


def answer_text(output: Output) -> str:
    """Return the text of an answer, or its data as JSON if it has no text."""
    return output.text or (json_text(output.data) if output.data is not None else "")


def error_text(output: Output) -> str:
    """Return the kind and message of an output's error, empty if there is none."""
    return f"{output.error.kind}: {output.error.message}" if output.error else ""


def representative_trial(trials: Iterable[Trial], *, passed: bool) -> Trial | None:
    """Return the first scored trial with this result, else the first scored trial, else the first trial."""
    return min(
        trials, key=lambda trial: (not is_scored(trial), trial.passed != passed), default=None
    )


def representative_pair(
    base: Run, candidate: Run, case_id: str
) -> tuple[Trial | None, Trial | None]:
    """Return the two trials of a case to compare: one that passed before, one that fails now."""
    return (
        representative_trial(trials_of(base, case_id), passed=True),
        representative_trial(trials_of(candidate, case_id), passed=False),
    )


def _quote(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTE_CHARS else text[:_MAX_QUOTE_CHARS] + "...")


def _failing_score(trial: Trial, metric: str) -> Score | None:
    """Return the failing score of the metric that regressed, else the first failing score."""
    failing = [score for score in trial.scores if score.failed]
    return next((score for score in failing if score.metric == metric), next(iter(failing), None))


def _trial_error_text(trial: Trial) -> str:
    error = trial.output.error
    if error is not None:
        return f"{error.kind}: {error.message}" if error.message else error.kind
    state = trial_state(trial)
    score = next((score for score in trial.scores if score.state == state), trial.scores[0])
    return f"{score.explanation or state.replace('_', ' ')} ({score.metric})"


def reason_text(result: CaseResult) -> str:
    """Return why a case has its status, from its representative trial; empty if it passed."""
    if result.status == "error":
        for trial in result.trials:
            if trial_state(trial) in _ERROR_STATES:
                return _trial_error_text(trial)
        return f"{result.due - len(result.trials)} of {result.due} not run"
    failed = representative_trial(result.trials, passed=False)
    score = _failing_score(failed, result.metric) if failed else None
    if failed is None or score is None:
        return ""
    if score.explanation:
        return f"{score.explanation} ({score.metric})"
    wanted = result.case.expected
    expected = "" if wanted is None else f"expected {_quote(json_text(wanted))}, "
    return f"{expected}got {_quote(answer_text(failed.output))} ({score.metric})"
