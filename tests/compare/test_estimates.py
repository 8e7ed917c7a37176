"""Intervals of absolute limits."""

from __future__ import annotations

import pytest

from evalkit.compare.estimates import estimate_metric
from evalkit.compare.scores import CaseScores
from evalkit.core.eval_set import Rule


@pytest.mark.parametrize(("cases", "trials"), [(10, 3), (20, 10), (50, 1), (50, 5)])
def test_no_failure_raises_what_is_proven(cases: int, trials: int) -> None:
    lows = []
    for failed in range(cases + 1):
        row = (0.0, *(1.0,) * (trials - 1))
        rows = [row] * failed + [(1.0,) * trials] * (cases - failed)
        scores = [CaseScores(values=values, flags=values) for values in rows]
        lows.append(estimate_metric(Rule(metric="m", min=0.5), "", scores).interval[0])
    assert lows == sorted(lows, reverse=True)
