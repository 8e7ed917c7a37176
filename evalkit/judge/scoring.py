"""Combine votes and checks into one judgment, and a judgment into the score of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.judgement import CriterionVerdict, Judgement, JudgeVote
from evalkit.core.rubric import Criterion, Rubric
from evalkit.core.trial import Score


def combine_votes(
    criteria: Sequence[Criterion], votes: Sequence[JudgeVote]
) -> tuple[CriterionVerdict, ...]:
    """Return the median verdict on every criterion by the value of its level, with all votes."""
    verdicts = []
    for index in range(len(criteria)):
        cast = [vote.verdicts[index] for vote in votes]
        # With an even number of votes, the higher of the middle two.
        median = sorted(cast, key=lambda verdict: verdict.value)[len(cast) // 2]
        levels = tuple(verdict.level for verdict in cast)
        # The vote of a jury already lists the levels of its jurors.
        verdicts.append(replace(median, votes=levels) if len(levels) > 1 else median)
    return tuple(verdicts)


def build_judgement(verdicts: Sequence[CriterionVerdict], votes: Sequence[JudgeVote]) -> Judgement:
    """Return the verdicts with the exchanges and the cost of the votes."""
    costs = [vote.cost_usd for vote in votes if vote.cost_usd is not None]
    first = votes[0] if votes else JudgeVote()
    return Judgement(
        judge=first.judge,
        digest=first.digest,
        model=next((vote.model for vote in votes if vote.model), ""),
        fingerprint=next((vote.fingerprint for vote in votes if vote.fingerprint), ""),
        verdicts=tuple(verdicts),
        exchanges=tuple(exchange for vote in votes for exchange in vote.exchanges),
        calls=sum(vote.calls for vote in votes),
        input_tokens=sum(vote.input_tokens for vote in votes),
        output_tokens=sum(vote.output_tokens for vote in votes),
        cached_tokens=sum(vote.cached_tokens for vote in votes),
        cost_usd=sum(costs) if costs else None,
        is_cached=bool(votes) and all(vote.is_cached for vote in votes),
        jurors=first.jurors,
    )


def score_verdicts(rubric: Rubric, verdicts: Sequence[CriterionVerdict]) -> Score:
    """Return the weighted mean of the criteria's values, compared with the rubric's pass mark."""
    by_name = {verdict.criterion: verdict for verdict in verdicts}
    total = sum(criterion.weight for criterion in rubric.criteria)
    value = sum(each.weight * by_name[each.name].value for each in rubric.criteria) / total
    value = min(1.0, max(0.0, value))  # rounding can give a value just outside 0..1
    return Score(
        value=value, passed=rubric.is_passed(value), explanation=explain_verdicts(rubric, verdicts)
    )


def explain_verdicts(rubric: Rubric, verdicts: Sequence[CriterionVerdict]) -> str:
    """Return every criterion's level, then the reasons for up to two levels that are not the best."""
    best = 1.0 if rubric.higher_is_better else 0.0
    levels = "; ".join(f"{verdict.criterion}: {verdict.level}" for verdict in verdicts)
    reasons = [each.explanation for each in verdicts if each.value != best and each.explanation]
    return ". ".join([levels, *reasons[:2]])
