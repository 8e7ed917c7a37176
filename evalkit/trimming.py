"""Trials made smaller for where not everything about them is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.judgement import Judgement
from evalkit.records import Trial


def without_exchanges(trial: Trial) -> Trial:
    """A trial without what its judges were asked, which is as long as everything else together."""
    return _with_judgements(trial, lambda judgement: replace(judgement, exchanges=()))


def without_reasons(trial: Trial) -> Trial:
    """A trial with the levels that its judges gave and without their words, for a file of many trials.

    The score's own explanation keeps the reasons for what is not at its best.
    """
    return _with_judgements(
        trial,
        lambda judgement: replace(
            judgement,
            exchanges=(),
            verdicts=tuple(
                replace(verdict, evidence="", explanation="", is_quote=True)
                for verdict in judgement.verdicts
            ),
        ),
    )


def _with_judgements(trial: Trial, trim: Callable[[Judgement], Judgement]) -> Trial:
    scores = tuple(
        score if score.judgement is None else replace(score, judgement=trim(score.judgement))
        for score in trial.scores
    )
    return replace(trial, scores=scores)
