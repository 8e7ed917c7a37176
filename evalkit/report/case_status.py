"""A judged run's cases, each with where it stands and why, in the words all reports share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from evalkit.compare.scores import trial_state
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange, GateResult
from evalkit.core.literals import Json, TrialState
from evalkit.core.run import Run
from evalkit.core.trial import Output, Score, Trial
from evalkit.report.model import Report

CaseResultStatus: TypeAlias = Literal[
    "regressed",
    "failing",
    "error",
    "flaky",
    "still_failing",
    "not_run",
    "fixed",
    "passed",
    "not_scored",
]

STATUS_TEXTS: dict[CaseResultStatus, str] = {
    "regressed": "passed in the baseline, fails now",
    "failing": "fails, and the baseline is no excuse",
    "error": "not completely scored",
    "flaky": "fails now; its baseline trials already disagreed",
    "still_failing": "fails as in the baseline",
    "not_run": "was not run",
    "fixed": "failed in the baseline, passes now",
    "passed": "passes",
    "not_scored": "nothing scored it",
}
"""Every way a case can stand, worst first."""

BROKEN_STATUSES: tuple[CaseResultStatus, ...] = ("regressed", "failing", "error")
"""Where somebody has to look."""

SECONDARY_STATUSES: dict[CaseResultStatus, str] = {
    "flaky": "Flaky, set apart",
    "still_failing": "Failing as before",
    "not_run": "Not run",
    "fixed": "Fixed",
}
"""What is named in one line, and how."""

_MAX_QUOTE_CHARS = 120
_MAX_NAMED_CASES = 6
_ERROR_STATES: tuple[TrialState, ...] = ("agent_error", "judge_error", "metric_error", "unscored")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One case of a run: where it stands, how many of its scored trials passed, and all its trials.

    `base_passed` of `base_trials` passed in the baseline; `base_trials` is 0 without one.
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
    """Whether every metric due on a trial gave a value that counts."""
    return trial_state(trial) == "scored"


def is_passed(trial: Trial) -> bool:
    """Whether a trial is completely scored and passed."""
    return is_scored(trial) and trial.passed


class _FailedThresholdCases(NamedTuple):
    """The cases that failed thresholds name: however they wavered before, they count now.

    Of those in `every_trial` no trial may fail; of the others, half of them or more must.
    """

    named: frozenset[str]
    every_trial: frozenset[str]


def _find_failed_cases(verdict: GateResult) -> _FailedThresholdCases:
    failed = [check for check in verdict.checks if check.outcome == "fail" and not check.advisory]
    strict = [check for check in failed if check.rule.must_pass is not None]
    return _FailedThresholdCases(
        named=frozenset(hit.case_id for check in failed for hit in check.hits),
        every_trial=frozenset(hit.case_id for check in strict for hit in check.hits),
    )


def _decide_status(
    case_id: str,
    trials: Sequence[Trial],
    due: int,
    change: CaseChange | None,
    blame: _FailedThresholdCases,
) -> CaseResultStatus:
    scored, passed = sum(map(is_scored, trials)), sum(map(is_passed, trials))
    fails = scored > 0 and 2 * passed <= scored
    excused = change is not None and change.flaky and case_id not in blame.named
    if fails and change is not None and change.status == "regressed" and not excused:
        return "regressed"
    if not trials:
        return "not_run"
    if len(trials) < due or any(trial_state(trial) in _ERROR_STATES for trial in trials):
        return "error"
    if scored == 0:
        return "not_scored"
    if case_id in blame.every_trial and passed < scored:
        return "failing"
    if not fails:
        return "fixed" if change is not None and change.status == "fixed" else "passed"
    if change is None or case_id in blame.named:
        return "failing"
    return "flaky" if change.flaky else _decide_failed_status(change)


def _decide_failed_status(change: CaseChange) -> CaseResultStatus:
    failed_before = change.base_trials > 0 and 2 * change.base_passed <= change.base_trials
    return "still_failing" if failed_before else "failing"


def _by_case(run: Run | None) -> dict[str, tuple[Trial, ...]]:
    trials: dict[str, list[Trial]] = {}
    for trial in run.trials if run else ():
        trials.setdefault(trial.case_id, []).append(trial)
    return {case_id: tuple(of_case) for case_id, of_case in trials.items()}


def case_results(report: Report) -> tuple[CaseResult, ...]:
    """Every selected case with where it stands, in the order of the run."""
    comparison = report.gate_result.comparison
    changes = {change.case_id: change for change in comparison.cases} if comparison else {}
    blame = _find_failed_cases(report.gate_result)
    trials, base = _by_case(report.run), _by_case(report.baseline)
    header = report.run.header
    results = []
    for case in header.cases:
        change = changes.get(case.id)
        own = trials.get(case.id, ())
        results.append(
            CaseResult(
                case=case,
                status=_decide_status(case.id, own, header.trials, change, blame),
                passed=sum(map(is_passed, own)),
                scored=sum(map(is_scored, own)),
                due=header.trials,
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
    """The broken cases: by standing, then those that fell furthest, then in the order of the run."""

    def severity(result: CaseResult) -> tuple[int, float]:
        before = result.base_passed / result.base_trials if result.base_trials else 1.0
        now = result.passed / result.scored if result.scored else 0.0
        return BROKEN_STATUSES.index(result.status), now - before

    return sorted((r for r in results if r.status in BROKEN_STATUSES), key=severity)


def count_statuses(results: Iterable[CaseResult]) -> dict[CaseResultStatus, int]:
    """How many cases stand where, worst first; those that occur."""
    counts = Counter(result.status for result in results)
    return {standing: counts[standing] for standing in STATUS_TEXTS if counts[standing]}


def status_counts_text(results: Iterable[CaseResult]) -> str:
    """How many cases stand where, in words."""
    words = [f"{count:,} {standing}" for standing, count in count_statuses(results).items()]
    return ", ".join(words).replace("_", " ") or "none"


def passes_text(passed: int, trials: int) -> str:
    """Passes out of scored trials."""
    return f"{passed}/{trials}" if trials else "none"


def passes_change(result: CaseResult) -> str:
    """A case's passes, after those of the baseline where there is one."""
    now = passes_text(result.passed, result.scored)
    if not result.base_trials:
        return now
    return f"{passes_text(result.base_passed, result.base_trials)} -> {now}"


def cases_with_passes(results: Sequence[CaseResult]) -> str:
    """The first few of some cases with their passes, and how many more there are."""
    names = [f"{result.case.id} ({passes_change(result)})" for result in results[:_MAX_NAMED_CASES]]
    left_out = len(results) - len(names)
    return ", ".join(names) + (f" and {left_out:,} more" if left_out else "")


def trials_of(run: Run | None, case_id: str) -> tuple[Trial, ...]:
    """The trials of one case, none without a run."""
    return tuple(trial for trial in run.trials if trial.case_id == case_id) if run else ()


def json_text(value: Json) -> str:
    """A value for reading: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def input_text(case: Case) -> str:
    """What the agent was asked; the turns of a conversation one below the other."""
    if isinstance(case.input, str):
        return case.input
    return "\n".join(f"{turn.role}: {turn.content}" for turn in case.input)


def answer_text(output: Output) -> str:
    """What the agent answered: its text, else its data."""
    return output.text or (json_text(output.data) if output.data is not None else "")


def representative_trial(trials: Iterable[Trial], *, passed: bool) -> Trial | None:
    """The first completely scored trial that went the given way, else the first one there is."""
    ordered = sorted(trials, key=lambda trial: (not is_scored(trial), trial.passed != passed))
    return ordered[0] if ordered else None


def _quote(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTE_CHARS else text[:_MAX_QUOTE_CHARS] + "...")


def representative_pair(
    base: Run, candidate: Run, case_id: str
) -> tuple[Trial | None, Trial | None]:
    """Of one case the two trials worth reading side by side: one that passed, one that fails now."""
    return (
        representative_trial(trials_of(base, case_id), passed=True),
        representative_trial(trials_of(candidate, case_id), passed=False),
    )


def _failing_score(trial: Trial, metric: str) -> Score | None:
    """The score that failed; that of the metric which regressed, if one is named."""
    failing = [score for score in trial.scores if score.failed]
    return next((score for score in failing if score.metric == metric), next(iter(failing), None))


def _error_text(trial: Trial) -> str:
    error = trial.output.error
    if error is not None:
        words = f"{error.kind}: {error.message}" if error.message else error.kind
        # What a command said last, on its way out, is the most likely reason.
        last = error.detail.strip().rpartition("\n")[2] if error.kind == "exit_status" else ""
        return f"{words} {last}" if last else words
    state = trial_state(trial)
    score = next((score for score in trial.scores if score.state == state), trial.scores[0])
    return f"{score.explanation or state.replace('_', ' ')} ({score.metric})"


def reason_text(result: CaseResult) -> str:
    """Why a case stands where it stands, from its most telling trial; empty when all is well."""
    troubled = [trial for trial in result.trials if trial_state(trial) in _ERROR_STATES]
    if result.status == "error":
        missing = result.due - len(result.trials)
        return _error_text(troubled[0]) if troubled else f"{missing} of {result.due} not run"
    trial = representative_trial(result.trials, passed=False)
    score = _failing_score(trial, result.metric) if trial else None
    if trial is None or score is None:
        return ""
    if score.explanation:
        return f"{score.explanation} ({score.metric})"
    wanted = result.case.expected
    expected = "" if wanted is None else f"expected {_quote(json_text(wanted))}, "
    return f"{expected}got {_quote(answer_text(trial.output))} ({score.metric})"
