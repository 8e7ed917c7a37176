"""Combine the votes of several jurors on one answer into the vote of the jury."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.judgement import CriterionVerdict, JudgeVote, JuryRule
from evalkit.core.rubric import Criterion
from evalkit.judge.judge import JudgeRequest, key_criteria
from evalkit.judge.scoring import build_judgement, combine_votes

NO_LEVEL = "(none)"
"""The entry of a juror without a verdict among the levels of all jurors."""


def needed_jurors(rule: JuryRule, jurors: int) -> int:
    """Return how many jurors must have a verdict for the jury to have one.

    A majority is more than half of all jurors, whether they answered or not. A mean is over all of them:
    with one left out, it would depend on which one was lost.
    """
    return jurors if rule == "mean" else jurors // 2 + 1


def unite_votes(name: str, request: JudgeRequest, votes: Sequence[JudgeVote]) -> JudgeVote:
    """Return the votes of one juror as one: the middle one, or the first that has no verdict."""
    failed = next((vote for vote in votes if vote.state != "scored"), None)
    verdicts = () if failed else combine_votes(request.criteria, votes)
    total = build_judgement(verdicts, votes)
    return JudgeVote(
        judge=name,
        digest=total.digest,
        model=total.model,
        fingerprint=total.fingerprint,
        verdicts=total.verdicts,
        exchanges=total.exchanges,
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        cached_tokens=total.cached_tokens,
        cost_usd=total.cost_usd,
        is_cached=total.is_cached,
        state=failed.state if failed else "scored",
        kind=failed.kind if failed else "",
        problem=failed.problem if failed else "",
    )


def combine_jurors(
    rule: JuryRule, request: JudgeRequest, jurors: Sequence[JudgeVote], name: str, digest: str
) -> JudgeVote:
    """Return the vote of a jury: by `rule` if it gives a verdict on every criterion, else without one.

    A tie has no verdict: both ways to break it would favor the run under test or its baseline.
    """
    total = build_judgement((), jurors)
    united = JudgeVote(
        judge=name,
        digest=digest,
        jurors=tuple(jurors),
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        cached_tokens=total.cached_tokens,
        cost_usd=total.cost_usd,
        is_cached=total.is_cached,
    )
    choose = _choose_majority if rule == "majority" else _choose_mean
    verdicts, divided = [], []
    for index, criterion in enumerate(key_criteria(request).values()):
        cast = [vote.verdicts[index] if vote.state == "scored" else None for vote in jurors]
        verdict = choose(criterion, cast)
        if verdict is None:
            divided.append(f"{criterion.name}: {', '.join(_list_levels(cast))}")
        else:
            verdicts.append(replace(verdict, votes=tuple(_list_levels(cast))))
    if not divided:
        return replace(united, verdicts=tuple(verdicts))
    lost = [vote for vote in jurors if vote.state != "scored"]
    reasons = "".join(f" {vote.judge} gave no verdict: {vote.problem}." for vote in lost)
    return replace(
        united,
        # Judge errors can be retried, so they come before replies that are no verdict.
        state="judge_error" if any(vote.state == "judge_error" for vote in lost) else "unscored",
        kind="no_majority" if rule == "majority" else "juror_lost",
        problem=f"the jury has no {rule} ({'; '.join(divided)}).{reasons}".rstrip("."),
    )


def _list_levels(cast: Sequence[CriterionVerdict | None]) -> list[str]:
    return [NO_LEVEL if verdict is None else verdict.level for verdict in cast]


def _choose_majority(
    _: Criterion, cast: Sequence[CriterionVerdict | None]
) -> CriterionVerdict | None:
    """Return the verdict of the level that more than half of all jurors gave; None if there is none."""
    given = [verdict for verdict in cast if verdict is not None]
    if not given:
        return None
    (level, count), *_rest = Counter(verdict.level for verdict in given).most_common(1)
    if 2 * count <= len(cast):
        return None
    return next(verdict for verdict in given if verdict.level == level)


def _choose_mean(
    criterion: Criterion, cast: Sequence[CriterionVerdict | None]
) -> CriterionVerdict | None:
    """Return the mean of all jurors' values under the nearest level; None if a juror has no verdict.

    Of two levels that are equally near, it is the lower one; only its name depends on that.
    """
    given = [verdict for verdict in cast if verdict is not None]
    if len(given) < len(cast):
        return None
    value = sum(verdict.value for verdict in given) / len(given)
    nearest = min(criterion.levels, key=lambda level: (abs(level.value - value), level.value))
    # The explanation of the juror whose level is the nearest one.
    spoken = min(given, key=lambda verdict: abs(verdict.value - nearest.value))
    return replace(spoken, level=nearest.name, value=value)
