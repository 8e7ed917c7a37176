"""Check a judge's vote on a control, whose result is known."""

from __future__ import annotations

from dataclasses import replace

from evalkit.core.judgement import ControlResult, JudgeVote
from evalkit.judge.known_answer import KnownAnswer
from evalkit.judge.pairs import measure_lead
from evalkit.judge.scoring import combine_votes, score_verdicts


def check_control(metric: str, known: KnownAnswer, vote: JudgeVote) -> ControlResult:
    """Return whether a judge's vote is right; `held` is None without a verdict.

    The verdict on a pair is right if it prefers the better answer; a tie is wrong.
    """
    result = ControlResult(
        metric=metric,
        control=known.control.name,
        should_pass=known.control.passes,
        held=None,
        answered=vote.problem,
        judge=vote.judge,
    )
    if vote.state != "scored":
        return result
    verdicts = combine_votes(known.rubric.criteria, [vote])
    if known.request.other is None:
        score = score_verdicts(known.rubric, verdicts)
        held = score.passed == known.control.passes
        return replace(result, held=held, answered=score.explanation)
    lead = measure_lead(known.rubric.criteria, verdicts)
    held = lead > 0 if known.is_first_better else lead < 0
    said = "; ".join(f"{verdict.criterion}: {verdict.level}" for verdict in verdicts)
    reasons = [verdict.explanation for verdict in verdicts if verdict.explanation]
    return replace(result, held=held, answered=". ".join([said, *reasons[:1]]))
