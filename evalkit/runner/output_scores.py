"""Score one output of the agent with the metrics of its case."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evalkit.core.eval_set import Case
from evalkit.core.trial import Output, Score
from evalkit.metrics.scorers import Scorer


async def score_output(case: Case, scorers: Sequence[Scorer], output: Output) -> tuple[Score, ...]:
    """Return every score of one output, in the order of the metrics."""
    pending = [scorer.score(case, output) for scorer in scorers]
    # A task costs more than most scores, so tasks are only used if a scorer waits.
    if not any(scorer.waits for scorer in scorers):
        return tuple([await score for score in pending])
    return tuple(await asyncio.gather(*pending))
