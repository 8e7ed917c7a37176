"""Trials made smaller for where not everything about them is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.core.judgement import Judgement
from evalkit.core.trial import Trial


def without_exchanges(trial: Trial) -> Trial:
    """A trial without what its judges were asked, which is as long as everything else together."""
    return _map_judgements(trial, lambda judgement: replace(judgement, exchanges=()))


def without_reasons(trial: Trial) -> Trial:
    """A trial with as little of its judges as a file of many trials needs.

    Each score's explanation names the levels, and the reasons where they are not the best; who judged is
    in the header. Kept are the model that answered, and the verdicts on which votes were split.
    """
    return _map_judgements(trial, _shorten_judgement)


def _shorten_judgement(judgement: Judgement) -> Judgement | None:
    split = (verdict for verdict in judgement.verdicts if len(set(verdict.votes)) > 1)
    kept = Judgement(
        model=judgement.model,
        fingerprint=judgement.fingerprint,
        verdicts=tuple(replace(each, evidence="", explanation="") for each in split),
    )
    nothing = Judgement()
    return (
        None if kept == nothing else replace(kept, judge=judgement.judge, digest=judgement.digest)
    )


def _map_judgements(trial: Trial, trim: Callable[[Judgement], Judgement | None]) -> Trial:
    scores = tuple(
        score if score.judgement is None else replace(score, judgement=trim(score.judgement))
        for score in trial.scores
    )
    return replace(trial, scores=scores)
