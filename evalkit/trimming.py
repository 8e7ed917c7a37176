"""Trials made smaller for where not everything about them is kept."""

from __future__ import annotations

from dataclasses import replace

from evalkit.records import Trial


def without_exchanges(trial: Trial) -> Trial:
    """A trial without what its judges were asked, which is as long as everything else together."""
    scores = tuple(
        score
        if score.judgement is None
        else replace(score, judgement=replace(score.judgement, exchanges=()))
        for score in trial.scores
    )
    return replace(trial, scores=scores)
