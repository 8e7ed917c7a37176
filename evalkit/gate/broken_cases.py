"""Cases that newly fail into those proven broken, by fresh trials of these cases alone.

A case that was stable in one half of the baseline and fails now is a suspect. Its failure is what it
was chosen for and proves nothing; it is run again, and the fresh trials are compared with the other
half of the baseline, which had no part in the choice.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, floor

from evalkit.compare.pairs import find_redefined_metrics, find_shared_cases
from evalkit.compare.scores import ScoreTable, build_score_table, trial_state
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseContribution, Check
from evalkit.core.literals import Outcome
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial
from evalkit.gate.inputs import GateInputs
from evalkit.gate.sentences import broken_sentence
from evalkit.stats.multiplicity import compare_case, find_significant

FRESH_TRIALS = 4
"""With five baseline trials to compare with, the fewest that prove one broken case among several."""

STABLE_RATE = 0.6
"""From this pass rate on in the first half of the baseline, a failure is news."""

MIN_BASE_TRIALS = 5
"""With fewer, not even four failures against a half without any are proof at alpha .05."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A case that was stable and does not pass now; `reserve` are its untouched baseline trials."""

    case_id: str
    reserve: tuple[bool, ...]
    is_scored: bool


BROKEN_PASS_RATES = (0.0, 0.25, 0.5)
"""Pass rates, after a break, for which the chance of proof is worth knowing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableBreaks:
    """What a rule on broken cases could prove, from a baseline of so many trials.

    `watched` of `cases` were stable. Up to `at_once` cases that always passed and never do now are all
    proven; `chances` are (pass rate now, chance that such a case is found and proven).
    """

    cases: int
    stable_cases: int
    base_trials: int
    max_detectable: int
    chances: tuple[tuple[float, float], ...]


def _passed_flags(trials: Iterable[Trial], metrics: Sequence[str]) -> tuple[bool, ...]:
    return tuple(
        all(score.passed is not False for score in trial.scores if score.metric in metrics)
        for trial in trials
    )


def _shared_metrics(base: ScoreTable, candidate: ScoreTable) -> list[str]:
    """By name; an advisory one breaks no case."""
    return [
        name for name, info in candidate.infos.items() if name in base.infos and not info.advisory
    ]


def _is_stable(chosen_by: Sequence[bool]) -> bool:
    return bool(chosen_by) and sum(chosen_by) >= STABLE_RATE * len(chosen_by)


def _binomial(trials: int, rate: float, passes: int) -> float:
    return comb(trials, passes) * rate**passes * (1 - rate) ** (trials - passes)


def find_detectable_breaks(
    base: ScoreTable, metrics: Sequence[str], alpha: float, case_ids: Collection[str]
) -> DetectableBreaks:
    """What the rule can prove on these cases when one candidate trial of each is run first."""
    histories = [_passed_flags(base.scored_trials(case_id), metrics) for case_id in case_ids]
    reserve = base.header.trials - base.header.trials // 2
    tests = [
        compare_case(reserve, reserve, fresh, FRESH_TRIALS) for fresh in range(FRESH_TRIALS + 1)
    ]
    chances = []
    for rate in BROKEN_PASS_RATES:
        proven = sum(
            _binomial(FRESH_TRIALS, rate, fresh)
            for fresh, test in enumerate(tests)
            if test.p_value <= alpha
        )
        chances.append((rate, (1 - rate) * proven))
    return DetectableBreaks(
        cases=len(histories),
        stable_cases=sum(_is_stable(history[: len(history) // 2]) for history in histories),
        base_trials=base.header.trials,
        max_detectable=floor(alpha / tests[0].min_p_value + 1e-9),
        chances=tuple(chances),
    )


def explain_undecidable_breaks(rule: Rule, watch: DetectableBreaks) -> str:
    """Why no result could fail the rule, or even decide it; empty when one could."""
    remedy = "Record more baseline trials"
    if watch.base_trials < MIN_BASE_TRIALS:
        return (
            f"cannot be decided: proof needs {MIN_BASE_TRIALS} baseline trials of a case, and there "
            f"are {watch.base_trials}. {remedy}."
        )
    allowed = rule.broken_cases or 0
    if watch.stable_cases <= allowed:
        return (
            f"cannot fail, whatever comes out: {format_count(watch.stable_cases, 'case')} passed 3 times in 5 in "
            f"the first half of the baseline, and only such cases can be proven broken."
        )
    if watch.max_detectable <= allowed:
        return (
            f"cannot fail, whatever comes out: with {watch.base_trials} baseline trials no more than "
            f"{format_count(watch.max_detectable, 'case')} can be proven broken at once, and {allowed} "
            f"{'is' if allowed == 1 else 'are'} allowed. {remedy}."
        )
    return ""


def find_suspects(base: ScoreTable, candidate: ScoreTable) -> tuple[Suspect, ...]:
    """The cases that passed in the first half of the baseline and of which no majority passes now."""
    metrics = _shared_metrics(base, candidate)
    suspects = []
    for case in find_shared_cases(base, candidate):
        history = _passed_flags(base.scored_trials(case.id), metrics)
        chosen_by, reserve = history[: len(history) // 2], history[len(history) // 2 :]
        now = _passed_flags(candidate.scored_trials(case.id), metrics)
        if _is_stable(chosen_by) and 2 * sum(now) <= len(now):
            suspects.append(Suspect(case_id=case.id, reserve=reserve, is_scored=bool(now)))
    return tuple(suspects)


def plan_fresh_trials(rules: Sequence[Rule], run: Run, baseline: Run) -> Mapping[str, int]:
    """How many fresh trials of which cases the rules need, those already run or called for included."""
    if all(rule.broken_cases is None for rule in rules):
        return {}
    base, candidate = build_score_table(baseline), build_score_table(run)
    if find_redefined_metrics(base, candidate) or baseline.header.trials < MIN_BASE_TRIALS:
        return {}
    found = find_suspects(base, candidate)
    return {suspect.case_id: FRESH_TRIALS for suspect in found if suspect.is_scored}


def _require_base_trials(sides: GateInputs) -> ScoreTable:
    base, _ = sides.require_base()
    remedy = f"Record today's baseline: {sides.record_command}"
    if redefined := find_redefined_metrics(base, sides.candidate):
        raise Undecidable(
            f"{', '.join(redefined)} measured in another way in the baseline. {remedy}"
        )
    if base.header.trials < MIN_BASE_TRIALS:
        raise Undecidable(
            f"proof needs {MIN_BASE_TRIALS} baseline trials of a case, and there are "
            f"{base.header.trials}. {remedy}"
        )
    if not find_shared_cases(base, sides.candidate):
        raise Undecidable(f"no case is the same in this run and in the baseline. {remedy}")
    return base


def _count_fresh_passes(
    suspect: Suspect, candidate: ScoreTable, metrics: Sequence[str]
) -> CaseContribution:
    """The fresh trials of a suspect beside the reserve."""
    row = candidate.fresh.get(suspect.case_id, ())
    fresh = _passed_flags(
        (trial for trial in row if trial and trial_state(trial) == "scored"), metrics
    )
    return CaseContribution(
        case_id=suspect.case_id,
        base=sum(suspect.reserve),
        base_trials=len(suspect.reserve),
        candidate=sum(fresh),
        trials=len(fresh),
    )


def _missing_fresh_text(untold: Sequence[CaseContribution], header: RunHeader) -> str:
    if not untold:
        return ""
    names = ", ".join(hit.case_id for hit in untold[:5]) + (", ..." if untold[5:] else "")
    return (
        f" {format_count(len(untold), 'stable case')} without a fresh trial ({names}). Run what is missing: "
        f"evalkit run {shlex.quote(header.evalset_path)} --resume --run-id {header.id}"
    )


def _flag_proven(hits: Sequence[CaseContribution], alpha: float) -> list[bool]:
    tests = [
        compare_case(int(hit.base), hit.base_trials, int(hit.candidate), hit.trials) for hit in hits
    ]
    return find_significant(tests, alpha)


def check_broken_cases(rule: Rule, sides: GateInputs) -> Check:
    """Count the suspects that are proven broken by their fresh trials.

    A suspect without one leaves the rule undecided where such cases could tip it.

    Raises:
        Undecidable: there is no baseline, or too little of it to prove anything.
    """
    base, candidate = _require_base_trials(sides), sides.candidate
    metrics = _shared_metrics(base, candidate)
    retried = [
        _count_fresh_passes(suspect, candidate, metrics)
        for suspect in find_suspects(base, candidate)
    ]
    told = [hit for hit in retried if hit.trials]
    untold = [hit for hit in retried if not hit.trials]
    proven = _flag_proven(told, rule.alpha)
    broken = tuple(hit for hit, is_proven in zip(told, proven, strict=True) if is_proven)
    allowed = rule.broken_cases or 0
    outcome: Outcome = "pass"
    if len(broken) > allowed:
        outcome = "fail"
    elif len(broken) + len(untold) > allowed:
        outcome = "undecided"
    untold_text = _missing_fresh_text(untold, candidate.header)
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=broken_sentence(rule, outcome, broken, len(told), untold_text),
        candidate=len(broken),
        cases=len(find_shared_cases(base, candidate)),
        hits=broken,
    )
