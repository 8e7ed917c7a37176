"""Find what a run no longer reports, and withhold the thresholds that this could decide.

An agent that reports its tool calls or costs only where they look good would leave the other trials out of
every number. A trial is silent if its agent does not report what a metric needs, although it did so for the
same case in the baseline; for a case that the baseline lacks, although it does so in other cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.core.eval_set import Case, Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.core.trial import STREAM_STARTS, Score, Trial
from evalkit.gate.checked_rule import CheckWithNotes
from evalkit.gate.outcome import MAX_NAMED_CASES

_EXTREMES = (0.0, 1.0)
"""The values that a silent trial of a share can have; which one is worse depends on the metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """The silent trials of one metric.

    `what` is not reported in the trials `numbers` of each case, by case id. `cases` are all cases that the
    metric scores or should score. `is_bounded` is set if its values have a known range: that of a share, or the
    latency for the time to the first token.
    """

    metric: str
    what: str
    numbers: Mapping[str, frozenset[int]]
    cases: tuple[Case, ...]
    is_bounded: bool
    has_verdicts: bool
    is_in_baseline: bool


@dataclass(slots=True)
class _Reports:
    """How many trials of one case report what a metric needs, and which trials do not."""

    reported: int
    silent: set[int]

    @property
    def share(self) -> float:
        """The share of trials that report it."""
        return self.reported / (self.reported + len(self.silent))


def find_silence(candidate: Run, baseline: Run | None) -> tuple[Silence, ...]:
    """Return the silent trials of a run by metric; empty if it reports all that can be expected."""
    if not any(score.unreported for trial in _all_trials(candidate) for score in trial.scores):
        return ()
    now = _count_reports(candidate)
    before = _count_reports(baseline) if baseline is not None else {}
    digests = {case.id: case.digest for case in baseline.header.cases} if baseline else {}
    infos = {info.name: info for info in candidate.header.metrics}
    what = {
        score.metric: score.unreported
        for trial in _all_trials(candidate)
        for score in trial.scores
        if score.unreported
    }
    found = []
    for metric, missing in what.items():
        by_case, base_by_case = now[metric], before.get(metric, {})
        is_reported = any(each.reported for each in (*by_case.values(), *base_by_case.values()))
        cases = tuple(case for case in candidate.header.cases if case.id in by_case)
        silent = {}
        for case in cases:
            base = base_by_case.get(case.id) if digests.get(case.id) == case.digest else None
            reports = by_case[case.id]
            if reports.share < base.share if base else is_reported:
                silent[case.id] = frozenset(reports.silent)
        silent = {case_id: numbers for case_id, numbers in silent.items() if numbers}
        if silent:
            found.append(
                Silence(
                    metric=metric,
                    what=missing,
                    numbers=silent,
                    cases=cases,
                    is_bounded=missing == STREAM_STARTS
                    or (metric in infos and not infos[metric].unit),
                    has_verdicts=_has_verdicts(metric, candidate, baseline),
                    is_in_baseline=any(case_id in base_by_case for case_id in silent),
                )
            )
    return tuple(found)


def _all_trials(run: Run) -> Iterator[Trial]:
    yield from run.trials
    yield from run.fresh


def _count_reports(run: Run) -> Mapping[str, Mapping[str, _Reports]]:
    """Return what the trials of each case report, by metric and case id."""
    found: dict[str, dict[str, _Reports]] = defaultdict(dict)
    for trial in _all_trials(run):
        if trial.output.error is not None:
            continue
        for score in trial.scores:
            if score.state == "scored" or score.unreported:
                reports = found[score.metric].setdefault(trial.case_id, _Reports(0, set()))
                if score.unreported:
                    reports.silent.add(trial.number)
                else:
                    reports.reported += 1
    return found


def _has_verdicts(metric: str, *runs: Run | None) -> bool:
    """Return whether the metric passes or fails trials."""
    return any(
        score.passed is not None
        for run in runs
        if run is not None
        for trial in run.trials
        for score in trial.scores
        if score.metric == metric
    )


def _fill_silence(run: Run, silences: Sequence[Silence], value: float) -> Run:
    """Return the run as if every silent trial had the lowest value, 0, or the highest, which passes."""
    by_metric = {silence.metric: silence for silence in silences}

    def fill(score: Score, trial: Trial) -> Score:
        silence = by_metric.get(score.metric)
        if silence is None or trial.number not in silence.numbers.get(trial.case_id, ()):
            return score
        extreme = value * trial.output.latency_s if silence.what == STREAM_STARTS else value
        passed = value == 1 if silence.has_verdicts else None
        return Score(metric=score.metric, value=extreme, passed=passed, advisory=score.advisory)

    def fill_trial(trial: Trial) -> Trial:
        if not any(score.unreported for score in trial.scores):
            return trial
        return replace(trial, scores=tuple(fill(score, trial) for score in trial.scores))

    return replace(
        run,
        trials=tuple(map(fill_trial, run.trials)),
        fresh=tuple(map(fill_trial, run.fresh)),
    )


def decide_despite_silence(
    run: Run, silences: Sequence[Silence], decide: Callable[[Run], list[CheckWithNotes]]
) -> list[CheckWithNotes]:
    """Decide all thresholds on a run; those that its silent trials could change are undecided."""
    decided = decide(run)
    if not silences:
        return decided
    filled = [decide(_fill_silence(run, silences, value)) for value in _EXTREMES]
    return [
        _withhold_silent(each, [low.check.outcome, high.check.outcome], silences)
        for each, low, high in zip(decided, *filled, strict=True)
    ]


def _withhold_silent(
    each: CheckWithNotes, filled: Sequence[Outcome], silences: Sequence[Silence]
) -> CheckWithNotes:
    """Return a threshold as undecided if silent trials could change its outcome, else with a note.

    Args:
        each: the threshold as decided without the silent trials.
        filled: its outcomes if every silent trial had the lowest or the highest value.
        silences: the silent trials of the run.
    """
    check = each.check
    concerned = [found for silence in silences if (found := _narrow(silence, check.rule))]
    if not concerned:
        return each
    name = name_rule(check.rule)
    text = " ".join(_describe(silence, check.rule) for silence in concerned)
    if check.outcome == "undecided":
        return each._replace(check=replace(check, sentence=f"{check.sentence} {text}"))
    # The values of a metric with a unit have no bounds, so nothing is known of its silent trials.
    is_open = any(not silence.is_bounded for silence in concerned) and bool(check.rule.metric)
    if not is_open and set(filled) == {check.outcome}:
        return each._replace(
            notes=(*each.notes, f"{name}: {text} The outcome is the same whatever is true there.")
        )
    sentence = f"UNDECIDED {name}: not comparable. {text} Have the agent report this in every case."
    return each._replace(check=replace(check, outcome="undecided", sentence=sentence, to_decide=""))


def _narrow(silence: Silence, rule: Rule) -> Silence | None:
    """Return the silent trials that a rule is about; None if there are none."""
    # A rule without a metric is about passes, which a measurement does not change.
    if rule.metric != silence.metric if rule.metric else not silence.has_verdicts:
        return None
    tags = {rule.tag} if rule.tag is not None else set(rule.must_pass or ())
    cases = tuple(case for case in silence.cases if not tags or tags & set(case.tags))
    numbers = {case.id: silence.numbers[case.id] for case in cases if case.id in silence.numbers}
    return replace(silence, cases=cases, numbers=numbers) if numbers else None


def _describe(silence: Silence, rule: Rule) -> str:
    ids = list(silence.numbers)
    more = f" and {len(ids) - MAX_NAMED_CASES:,} more" if len(ids) > MAX_NAMED_CASES else ""
    metric = "" if rule.metric else f" for {silence.metric}"
    return (
        f"This run does not report {silence.what}{metric} in {len(ids):,} of "
        f"{format_count(len(silence.cases), 'case')} ({', '.join(ids[:MAX_NAMED_CASES])}{more}); "
        f"{'the baseline does' if silence.is_in_baseline else 'other cases of it do'}."
    )
