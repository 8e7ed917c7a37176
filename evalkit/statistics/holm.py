"""P-values of several thresholds into the level that each is held to."""

from __future__ import annotations

from collections.abc import Sequence


def holm_levels(p_values: Sequence[float], alphas: Sequence[float]) -> list[float]:
    """The level of each of several tests, so that together they err no more than one would.

    The smallest p of k is held to alpha / k, the next to alpha / (k - 1) and so on, up to the first
    that is above its level; that and all after it are held to its divisor (Holm 1979). Where alphas
    differ, p-values are ranked as shares of their own alpha; the chance of any false rejection is then
    at most the largest alpha, because the first true hypothesis met, of t true ones, is held to at most
    its own alpha / t.
    """
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index] / alphas[index])
    levels = [0.0] * len(ranked)
    divisor = len(ranked)
    is_open = True
    for place, index in enumerate(ranked):
        if is_open:
            divisor = len(ranked) - place
        levels[index] = alphas[index] / divisor
        is_open = is_open and p_values[index] <= levels[index]
    return levels
