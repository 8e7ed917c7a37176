"""Votes and checks into one judgement, and a judgement into the score of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.judgement import CriterionVerdict, Judgement, JudgeVote
from evalkit.core.rubric import Criterion, Rubric
from evalkit.core.trial import Score


def combine_votes(
    criteria: Sequence[Criterion], readings: Sequence[JudgeVote]
) -> tuple[CriterionVerdict, ...]:
    """The middle vote on every criterion, by the value of its level; it keeps all votes beside it."""
    verdicts = []
    for index in range(len(criteria)):
        cast = sorted((reading.verdicts[index] for reading in readings), key=lambda v: v.value)
        middle = cast[len(cast) // 2]
        votes = tuple(reading.verdicts[index].level for reading in readings)
        verdicts.append(replace(middle, votes=votes if len(votes) > 1 else ()))
    return tuple(verdicts)


def build_judgement(
    verdicts: Sequence[CriterionVerdict], readings: Sequence[JudgeVote]
) -> Judgement:
    """What was said and what it took."""
    costs = [reading.cost_usd for reading in readings if reading.cost_usd is not None]
    first = readings[0] if readings else JudgeVote()
    return Judgement(
        judge=first.judge,
        digest=first.digest,
        model=next((reading.model for reading in readings if reading.model), ""),
        fingerprint=next((r.fingerprint for r in readings if r.fingerprint), ""),
        verdicts=tuple(verdicts),
        exchanges=tuple(each for reading in readings for each in reading.exchanges),
        calls=sum(reading.calls for reading in readings),
        input_tokens=sum(reading.input_tokens for reading in readings),
        output_tokens=sum(reading.output_tokens for reading in readings),
        cost_usd=sum(costs) if costs else None,
        is_cached=bool(readings) and all(reading.is_cached for reading in readings),
    )


def score_verdicts(rubric: Rubric, verdicts: Sequence[CriterionVerdict]) -> Score:
    """The mean of the criteria's values by weight, held to the rubric's pass mark."""
    by_name = {verdict.criterion: verdict for verdict in verdicts}
    total = sum(criterion.weight for criterion in rubric.criteria)
    value = sum(each.weight * by_name[each.name].value for each in rubric.criteria) / total
    value = min(1.0, max(0.0, value))
    return Score(
        value=value, passed=rubric.is_passed(value), explanation=explain_verdicts(rubric, verdicts)
    )


def explain_verdicts(rubric: Rubric, verdicts: Sequence[CriterionVerdict]) -> str:
    """Every criterion's level, then why, where a level is not the best there is."""
    best = 1.0 if rubric.higher_is_better else 0.0
    levels = "; ".join(f"{verdict.criterion}: {verdict.level}" for verdict in verdicts)
    reasons = [each.explanation for each in verdicts if each.value != best and each.explanation]
    return ". ".join([levels, *reasons[:2]])
