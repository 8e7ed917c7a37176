"""Find the status of every case of a run and the reason, in the words that all reports share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalkit.compare.case_changes import ERROR_STATES, describe_case
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange, GateResult
from evalkit.core.literals import CaseStatus, Json
from evalkit.core.run import Run
from evalkit.core.trial import Output, Score, Trial
from evalkit.report.broken_rules import find_broken_rules, name_broken_rules

STATUS_TEXTS: dict[CaseStatus, str] = {
    "regressed": "passed in the baseline, fails now",
    "failing": "fails, and is not excused by the baseline",
    "error": "not completely scored",
    "flaky": "passes in some trials and fails in others",
    "still_failing": "fails as in the baseline",
    "not_run": "was not run, or not in every trial",
    "fixed": "failed in the baseline, passes now",
    "passed": "passes in every trial",
    "not_scored": "was not scored",
    "removed": "is in the baseline only",
}
"""Every status of a case with its meaning, worst first."""

BROKEN_STATUSES: tuple[CaseStatus, ...] = ("regressed", "failing", "error")
"""The statuses that need attention."""

SECONDARY_STATUSES: dict[CaseStatus, str] = {
    "flaky": "Flaky",
    "still_failing": "Failing as before",
    "not_run": "Not run",
    "fixed": "Fixed",
}
"""The statuses whose cases share one line, with the label of the line."""

_MAX_QUOTE_CHARS = 120
_MAX_NAMED_CASES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One case of a run: its status and passes in `change`, and all its trials.

    `due` trials were planned. `base` are the trials of the baseline. `breaks` names the failed thresholds
    that the failures of the case break.
    """

    case: Case
    change: CaseChange
    due: int
    trials: tuple[Trial, ...]
    base: tuple[Trial, ...] = ()
    breaks: tuple[str, ...] = ()

    @property
    def status(self) -> CaseStatus:
        """The status, which does not depend on the gate."""
        return self.change.status

    @property
    def passed(self) -> int:
        """The number of scored trials that passed."""
        return self.change.passed_all

    @property
    def scored(self) -> int:
        """The number of completely scored trials."""
        return self.change.trials

    @property
    def fails(self) -> bool:
        """Whether half of the scored trials or more fail."""
        return self.scored > 0 and 2 * self.passed <= self.scored

    @property
    def is_broken(self) -> bool:
        """Whether the case needs attention: by its status, or because a failed threshold names it."""
        return self.status in BROKEN_STATUSES or bool(self.breaks)

    @property
    def label(self) -> str:
        """The status as words, with `flaky` if its trials disagree."""
        return status_label(self.change)


def group_by_case(run: Run | None) -> dict[str, tuple[Trial, ...]]:
    """Return the trials of each case; none without a run."""
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
    breaks = find_broken_rules(gate_result)
    trials, base = group_by_case(run), group_by_case(baseline)
    due = run.header.planned_trials()
    results = []
    for case in run.header.cases:
        own = trials.get(case.id, ())
        change = changes.get(case.id) or describe_case(case, fill_row(own, due[case.id]))
        results.append(
            CaseResult(
                case=case,
                change=change,
                due=due[case.id],
                trials=own,
                base=base.get(case.id, ()),
                breaks=name_broken_rules(breaks.get(case.id, ()), change),
            )
        )
    return tuple(results)


def fill_row(trials: Sequence[Trial], due: int) -> list[Trial | None]:
    """Return the planned trials of a case, None for each that was not run."""
    return [*trials, *[None] * (due - len(trials))]


def worst_first(results: Iterable[CaseResult]) -> list[CaseResult]:
    """Return the broken cases by status, then by drop in pass rate, then in the order of the run."""
    order = list(STATUS_TEXTS)

    def severity(result: CaseResult) -> tuple[int, float]:
        change = result.change
        before = change.base_passed / change.base_trials if change.base_trials else 1.0
        now = result.passed / result.scored if result.scored else 0.0
        return order.index(result.status), now - before

    return sorted((result for result in results if result.is_broken), key=severity)


def secondary_cases(results: Iterable[CaseResult]) -> Iterator[tuple[str, list[CaseResult]]]:
    """Yield the label of each secondary status with its cases that are not broken, failing ones first."""
    results = list(results)
    for status, label in SECONDARY_STATUSES.items():
        found = [result for result in results if result.status == status and not result.is_broken]
        if found:
            yield label, sorted(found, key=lambda result: not result.fails)


def count_statuses(results: Iterable[CaseResult]) -> dict[CaseStatus, int]:
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


def passes_change(change: CaseChange) -> str:
    """Return a case's passes, after those of the baseline if there is one: `3/3 -> 0/1`.

    Passes by the metrics of the baseline alone say so.
    """
    now = passes_text(change.passed_all, change.trials)
    parts = now
    if change.base_trials:
        before = passes_text(change.base_passed, change.base_trials)
        shared = passes_text(change.passed, change.trials)
        parts = f"{before} -> {shared}"
        if shared != now:
            parts += f" by the metrics of the baseline, {now} by all"
    return parts


def metric_passes_change(change: CaseChange) -> str:
    """Return the passes of the metric by which a case regressed: `has 5/5 -> 0/1`; empty if none is named."""
    hit = change.on_metric
    if hit is None or change.status != "regressed":
        return ""
    before = passes_text(hit.base_passed, hit.base_trials)
    return f"{hit.metric} {before} -> {passes_text(hit.passed, hit.trials)}"


def status_label(change: CaseChange) -> str:
    """Return the status of a case as words, with `flaky` if its trials disagree."""
    words = change.status.replace("_", " ")
    return f"{words}, flaky" if change.flaky and change.status != "flaky" else words


def cases_with_passes(results: Sequence[CaseResult], most: int = _MAX_NAMED_CASES) -> str:
    """Return the ids and passes of the first cases, and the number of further cases."""
    names = [f"{result.case.id} ({passes_change(result.change)})" for result in results[:most]]
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
        if score.metric == metric and score.is_usable and score.value is not None
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
        trials, key=lambda trial: (trial.state != "scored", trial.passed != passed), default=None
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
    state = trial.state
    score = next((score for score in trial.scores if score.state == state), trial.scores[0])
    return f"{score.explanation or state.replace('_', ' ')} ({score.metric})"


def reason_text(result: CaseResult, *, counts: bool = True) -> str:
    """Return why a case needs attention: the thresholds it breaks, and what its worst trial shows.

    It is one line. With `counts`, it starts with the passes of the metric by which the case regressed.
    """
    # Explanations may have several lines, such as the output of a command.
    why = "; ".join(filter(None, map(str.strip, _trial_reason(result).splitlines())))
    if counts and (passes := metric_passes_change(result.change)):
        why = f"{passes}: {why}" if why else passes
    if not result.breaks or result.status in BROKEN_STATUSES:
        return why
    broken = ", ".join(f"'{name}'" for name in result.breaks)
    return f"breaks {broken}{f': {why}' if why else ''}"


def _trial_reason(result: CaseResult) -> str:
    """Return why a case has its status, from its representative trial; empty if it passed."""
    if result.status == "error":
        for trial in result.trials:
            if trial.state in ERROR_STATES:
                return _trial_error_text(trial)
    if result.status == "not_run" and result.trials:
        return f"{result.due - len(result.trials)} of {result.due} not run"
    failed = representative_trial(result.trials, passed=False)
    hit = result.change.on_metric
    score = _failing_score(failed, hit.metric if hit else "") if failed else None
    if failed is None or score is None:
        return ""
    if score.explanation:
        return f"{score.explanation} ({score.metric})"
    wanted = result.case.expected
    expected = "" if wanted is None else f"expected {_quote(json_text(wanted))}, "
    return f"{expected}got {_quote(answer_text(failed.output))} ({score.metric})"
