"""Decide thresholds with `broken_cases`: run newly failing cases again, and count those proven broken.

A case that was stable in the first half of the baseline and fails now is a suspect. The failure itself
proves nothing, because the case was selected by it. So the case is run again, and the fresh trials are
compared with the second half of the baseline, which was not used in the selection.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, floor

from evalkit.compare.pairs import find_redefined_metrics, find_shared_cases
from evalkit.compare.scores import ScoreTable, build_score_table
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import CaseContribution, Check
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial
from evalkit.gate.inputs import GateInputs, count_outcome
from evalkit.gate.phrases import list_hits
from evalkit.stats.multiplicity import compare_case, find_significant

FRESH_TRIALS = 4
"""With five baseline trials, the fewest that can prove one of several suspects broken."""

STABLE_RATE = 0.6
"""A case is stable if at least this share of its trials in the first half of the baseline passed."""

MIN_BASE_TRIALS = 5
"""With fewer, even four failures after a half without any do not prove a break at alpha .05."""

BROKEN_PASS_RATES = (0.0, 0.25, 0.5)
"""The pass rates after a break for which the chance of proof is reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A case that was stable and fails now; `reserve` is the second half of its baseline trials."""

    case_id: str
    reserve: tuple[bool, ...]
    is_scored: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableBreaks:
    """What a `broken_cases` rule can prove with a baseline of `base_trials` trials.

    `stable_cases` of `cases` were stable. If up to `max_detectable` cases always passed and now never
    do, all of them are proven broken. `chances` has pairs of a new pass rate and the chance that such a
    case is found and proven broken.
    """

    cases: int
    stable_cases: int
    base_trials: int
    max_detectable: int
    chances: tuple[tuple[float, float], ...]


def check_broken_cases(rule: Rule, inputs: GateInputs) -> Check:
    """Decide a `broken_cases` rule by the number of suspects whose fresh trials prove them broken.

    The rule is undecided if suspects without fresh trials could change the outcome.

    Raises:
        Undecidable: there is no baseline, or it is too small to prove anything.
    """
    candidate = inputs.candidate
    base, _ = inputs.require_comparable_cases()
    if base.header.trials < MIN_BASE_TRIALS:
        raise inputs.undecidable(_too_few_trials_text(base.header.trials))
    shared = find_shared_cases(base, candidate)
    if not shared:
        raise inputs.undecidable("no case is the same in this run and in the baseline")
    metrics = _shared_metrics(base, candidate)
    suspects = find_suspects(base, candidate)
    found = [_count_fresh_passes(suspect, candidate, metrics) for suspect in suspects]
    retried = [hit for hit in found if hit.trials]
    without_trials = [hit for hit in found if not hit.trials]
    tests = [
        compare_case(int(hit.base), hit.base_trials, int(hit.candidate), hit.trials)
        for hit in retried
    ]
    proven = find_significant(tests, rule.alpha)
    broken = tuple(hit for hit, is_proven in zip(retried, proven, strict=True) if is_proven)
    allowed = rule.broken_cases or 0
    outcome = count_outcome(len(broken), len(without_trials), allowed)
    finding = f"{len(broken)} proven, at most {allowed} allowed{list_hits(broken)}"
    sentences = [f"{outcome.upper()} {name_rule(rule)}: {finding}."]
    if retried:
        count = format_count(len(retried), "stable case")
        sentences.append(f"{count} newly failed and had fresh trials.")
    alone = sum(
        test.p_value <= rule.alpha and not is_proven
        for test, is_proven in zip(tests, proven, strict=True)
    )
    if alone:
        sentences.append(
            f"{alone} of them would be proven broken if tested alone, but they share alpha "
            f"{rule.alpha:g}. Record more baseline trials."
        )
    if without_trials:
        sentences.append(_missing_trials_text(without_trials, candidate.header))
    if not found:
        sentences.append("No stable case failed.")
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=" ".join(sentences),
        candidate=len(broken),
        cases=len(shared),
        hits=broken,
    )


def find_suspects(base: ScoreTable, candidate: ScoreTable) -> tuple[Suspect, ...]:
    """Return the cases that were stable in the first half of the baseline and mostly fail now."""
    metrics = _shared_metrics(base, candidate)
    suspects = []
    for case in find_shared_cases(base, candidate):
        first_half, reserve = _halve(_passed_flags(base.scored_trials(case.id), metrics))
        now = _passed_flags(candidate.scored_trials(case.id), metrics)
        if _is_stable(first_half) and 2 * sum(now) <= len(now):
            suspects.append(Suspect(case_id=case.id, reserve=reserve, is_scored=bool(now)))
    return tuple(suspects)


def find_stable_rates(base: ScoreTable, case_ids: Iterable[str]) -> tuple[float, ...]:
    """Return the pass rates (0..1) of the cases that were stable in the first half of the baseline."""
    histories = (
        _passed_flags(base.scored_trials(case_id), list(base.infos)) for case_id in case_ids
    )
    return tuple(sum(row) / len(row) for row in histories if row and _is_stable(_halve(row)[0]))


def plan_fresh_trials(rules: Sequence[Rule], run: Run, baseline: Run) -> Mapping[str, int]:
    """Return the number of fresh trials that the rules need, by case id and including those already run."""
    if all(rule.broken_cases is None for rule in rules):
        return {}
    base, candidate = build_score_table(baseline), build_score_table(run)
    # In these cases the rule is undecided, so fresh trials would be wasted.
    if find_redefined_metrics(base, candidate) or baseline.header.trials < MIN_BASE_TRIALS:
        return {}
    found = find_suspects(base, candidate)
    return {suspect.case_id: FRESH_TRIALS for suspect in found if suspect.is_scored}


def find_detectable_breaks(
    base: ScoreTable, metrics: Sequence[str], alpha: float, case_ids: Collection[str]
) -> DetectableBreaks:
    """Return what a rule can prove on these cases if the first stage runs one trial of each."""
    histories = [_passed_flags(base.scored_trials(case_id), metrics) for case_id in case_ids]
    # The second half is the larger one if the number is odd.
    reserve = base.header.trials - base.header.trials // 2
    tests = [
        compare_case(reserve, reserve, fresh, FRESH_TRIALS) for fresh in range(FRESH_TRIALS + 1)
    ]
    chances = []
    for rate in BROKEN_PASS_RATES:
        proven = sum(
            comb(FRESH_TRIALS, fresh) * rate**fresh * (1 - rate) ** (FRESH_TRIALS - fresh)
            for fresh, test in enumerate(tests)
            if test.p_value <= alpha
        )
        # The case is run again only if its first trial fails.
        chances.append((rate, (1 - rate) * proven))
    return DetectableBreaks(
        cases=len(histories),
        stable_cases=sum(_is_stable(_halve(history)[0]) for history in histories),
        base_trials=base.header.trials,
        # The cases that fail share alpha. The added 1e-9 absorbs rounding.
        max_detectable=floor(alpha / tests[0].min_p_value + 1e-9),
        chances=tuple(chances),
    )


def explain_undecidable_breaks(rule: Rule, detectable: DetectableBreaks) -> str:
    """Return why no result can fail the rule or decide it; empty if a result can."""
    remedy = "Record more baseline trials"
    if detectable.base_trials < MIN_BASE_TRIALS:
        return f"cannot be decided: {_too_few_trials_text(detectable.base_trials)}. {remedy}."
    allowed = rule.broken_cases or 0
    if detectable.stable_cases <= allowed:
        return (
            f"cannot fail with any result: {format_count(detectable.stable_cases, 'case')} passed at "
            f"least {STABLE_RATE:.0%} of the trials in the first half of the baseline, and only such "
            f"cases can be proven broken."
        )
    if detectable.max_detectable <= allowed:
        return (
            f"cannot fail with any result: with {detectable.base_trials} baseline trials no more "
            f"than {format_count(detectable.max_detectable, 'case')} can be proven broken at once, and "
            f"{allowed} {'is' if allowed == 1 else 'are'} allowed. {remedy}."
        )
    return ""


def _too_few_trials_text(trials: int) -> str:
    return f"proof needs {MIN_BASE_TRIALS} baseline trials of a case, and there are {trials}"


def _missing_trials_text(missing: Sequence[CaseContribution], header: RunHeader) -> str:
    names = ", ".join(hit.case_id for hit in missing[:5]) + (", ..." if missing[5:] else "")
    count = format_count(len(missing), "stable case")
    if header.budget is not None:
        return (
            f"{count} without a fresh trial ({names}), which the budget of "
            f"{format_count(header.budget.max_trials, 'trial')} did not leave."
        )
    return (
        f"{count} without a fresh trial ({names}). Run what is missing: "
        f"evalkit run {shlex.quote(header.evalset_path)} --resume --run-id {header.id}"
    )


def _passed_flags(trials: Iterable[Trial], metrics: Sequence[str]) -> tuple[bool, ...]:
    return tuple(not trial.fails(metrics) for trial in trials)


def _halve(history: tuple[bool, ...]) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    return history[: len(history) // 2], history[len(history) // 2 :]


def _is_stable(first_half: Sequence[bool]) -> bool:
    return bool(first_half) and sum(first_half) >= STABLE_RATE * len(first_half)


def _shared_metrics(base: ScoreTable, candidate: ScoreTable) -> list[str]:
    """Return the metrics of both runs, without advisory ones, which cannot break a case."""
    return [
        name for name, info in candidate.infos.items() if name in base.infos and not info.advisory
    ]


def _count_fresh_passes(
    suspect: Suspect, candidate: ScoreTable, metrics: Sequence[str]
) -> CaseContribution:
    """Return the passes of a suspect's fresh trials, and of its reserve as the baseline."""
    row = candidate.fresh.get(suspect.case_id, ())
    scored = (trial for trial in row if trial and trial.state == "scored")
    fresh = _passed_flags(scored, metrics)
    return CaseContribution(
        case_id=suspect.case_id,
        base=sum(suspect.reserve),
        base_trials=len(suspect.reserve),
        candidate=sum(fresh),
        trials=len(fresh),
    )
