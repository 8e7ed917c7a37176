"""Cases that newly fail into those proven broken, by fresh trials of these cases alone.

A case that was stable in one half of the baseline and fails now is a suspect. Its failure is what it
was chosen for and proves nothing; it is run again, and the fresh trials are compared with the other
half of the baseline, which had no part in the choice.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.compare import find_redefined, shared_cases
from evalkit.errors import Undecidable
from evalkit.gating.sides import Sides
from evalkit.gating.wording import broken_sentence
from evalkit.records import Outcome, Rule, Run, RunHeader, Trial
from evalkit.samples import ScoreTable, tabulate, trial_state
from evalkit.spelling import count_of
from evalkit.statistics.tarone import compare_case, find_proven
from evalkit.verdict import CaseHit, Check

FRESH_TRIALS = 4
"""With five baseline trials to compare with, the fewest that prove one broken case among several."""

STABLE_RATE = 0.6
"""From this pass rate on in the first half of the baseline, a failure is news."""

FEWEST_BASE_TRIALS = 5
"""With fewer, not even four failures against a half without any are proof at alpha .05."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A case that was stable and does not pass now; `reserve` are its untouched baseline trials."""

    case_id: str
    reserve: tuple[bool, ...]
    is_scored: bool


def _passes(trials: Iterable[Trial], metrics: Sequence[str]) -> tuple[bool, ...]:
    return tuple(
        all(score.passed is not False for score in trial.scores if score.metric in metrics)
        for trial in trials
    )


def _shared_metrics(base: ScoreTable, candidate: ScoreTable) -> list[str]:
    """By name; an advisory one breaks no case."""
    return [
        name for name, info in candidate.infos.items() if name in base.infos and not info.advisory
    ]


def find_suspects(base: ScoreTable, candidate: ScoreTable) -> tuple[Suspect, ...]:
    """The cases that passed in the first half of the baseline and of which no majority passes now."""
    metrics = _shared_metrics(base, candidate)
    suspects = []
    for case in shared_cases(base, candidate):
        history = _passes(base.scored_trials(case.id), metrics)
        chosen_by, reserve = history[: len(history) // 2], history[len(history) // 2 :]
        now = _passes(candidate.scored_trials(case.id), metrics)
        was_stable = bool(chosen_by) and sum(chosen_by) >= STABLE_RATE * len(chosen_by)
        if was_stable and 2 * sum(now) <= len(now):
            suspects.append(Suspect(case_id=case.id, reserve=reserve, is_scored=bool(now)))
    return tuple(suspects)


def call_for_fresh(rules: Sequence[Rule], run: Run, baseline: Run) -> Mapping[str, int]:
    """How many fresh trials of which cases the rules need, those already run or called for included."""
    if all(rule.broken_cases is None for rule in rules):
        return {}
    base, candidate = tabulate(baseline), tabulate(run)
    if find_redefined(base, candidate) or baseline.header.trials < FEWEST_BASE_TRIALS:
        return {}
    found = find_suspects(base, candidate)
    return {suspect.case_id: FRESH_TRIALS for suspect in found if suspect.is_scored}


def _require_history(sides: Sides) -> ScoreTable:
    base, _ = sides.require_base()
    remedy = f"Record today's baseline: {sides.record_command}"
    if redefined := find_redefined(base, sides.candidate):
        raise Undecidable(
            f"{', '.join(redefined)} measured in another way in the baseline. {remedy}"
        )
    if base.header.trials < FEWEST_BASE_TRIALS:
        raise Undecidable(
            f"proof needs {FEWEST_BASE_TRIALS} baseline trials of a case, and there are "
            f"{base.header.trials}. {remedy}"
        )
    if not shared_cases(base, sides.candidate):
        raise Undecidable(f"no case is the same in this run and in the baseline. {remedy}")
    return base


def _retry(suspect: Suspect, candidate: ScoreTable, metrics: Sequence[str]) -> CaseHit:
    """The fresh trials of a suspect beside the reserve."""
    row = candidate.fresh.get(suspect.case_id, ())
    fresh = _passes((trial for trial in row if trial and trial_state(trial) == "scored"), metrics)
    return CaseHit(
        case_id=suspect.case_id,
        base=sum(suspect.reserve),
        base_trials=len(suspect.reserve),
        candidate=sum(fresh),
        trials=len(fresh),
    )


def _untold_text(untold: Sequence[CaseHit], header: RunHeader) -> str:
    if not untold:
        return ""
    names = ", ".join(hit.case_id for hit in untold[:5]) + (", ..." if untold[5:] else "")
    return (
        f" {count_of(len(untold), 'stable case')} without a fresh trial ({names}). Run what is missing: "
        f"evalkit run {shlex.quote(header.evalset_path)} --resume --run-id {header.id}"
    )


def _is_proven(hits: Sequence[CaseHit], alpha: float) -> list[bool]:
    tests = [
        compare_case(int(hit.base), hit.base_trials, int(hit.candidate), hit.trials) for hit in hits
    ]
    return find_proven(tests, alpha)


def check_broken(rule: Rule, sides: Sides) -> Check:
    """Count the suspects that are proven broken by their fresh trials.

    A suspect without one leaves the rule undecided where such cases could tip it.

    Raises:
        Undecidable: there is no baseline, or too little of it to prove anything.
    """
    base, candidate = _require_history(sides), sides.candidate
    metrics = _shared_metrics(base, candidate)
    retried = [_retry(suspect, candidate, metrics) for suspect in find_suspects(base, candidate)]
    told = [hit for hit in retried if hit.trials]
    untold = [hit for hit in retried if not hit.trials]
    proven = _is_proven(told, rule.alpha)
    broken = tuple(hit for hit, is_proven in zip(told, proven, strict=True) if is_proven)
    allowed = rule.broken_cases or 0
    outcome: Outcome = "pass"
    if len(broken) > allowed:
        outcome = "fail"
    elif len(broken) + len(untold) > allowed:
        outcome = "undecided"
    untold_text = _untold_text(untold, candidate.header)
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=broken_sentence(rule, outcome, broken, len(told), untold_text),
        candidate=len(broken),
        cases=len(shared_cases(base, candidate)),
        hits=broken,
    )
