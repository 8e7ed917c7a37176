"""Find the cases that a comparison hit hardest."""

from __future__ import annotations

from itertools import chain

import numpy as np

from evalkit.compare.pairs import PairedScores
from evalkit.compare.scores import mean
from evalkit.core.gate_result import CaseContribution
from evalkit.stats.distributions import Floats

_MAX_HITS = 5
_ROUNDING = 1e-9


def is_binary(pairs: PairedScores) -> bool:
    """Return whether all values are shares of 0 or 1, so that passes can be counted."""
    values = chain(*pairs.base, *pairs.candidate)
    return not pairs.info.unit and all(value in (0.0, 1.0) for value in values)


def find_hits(pairs: PairedScores, harms: Floats) -> tuple[CaseContribution, ...]:
    """Return the cases with the most harm, worst first."""
    is_count = is_binary(pairs)
    statistic = sum if is_count else mean
    # A stable sort keeps equal cases in the order of the set.
    worst = [
        index for index in np.argsort(-harms, kind="stable").tolist() if harms[index] > _ROUNDING
    ]
    return tuple(
        CaseContribution(
            case_id=pairs.cases[index].id,
            base=statistic(pairs.base[index]),
            base_trials=len(pairs.base[index]),
            candidate=statistic(pairs.candidate[index]),
            trials=len(pairs.candidate[index]),
            is_count=is_count,
        )
        for index in worst[:_MAX_HITS]
    )
