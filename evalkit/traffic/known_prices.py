"""Price model calls by the millions: look up a model once, then calculate."""

from __future__ import annotations

import math
from typing import NamedTuple

from evalkit.core.prices import TokenCounts, look_up_cost_usd

_PROBES = (
    TokenCounts(input_tokens=1_000),
    TokenCounts(output_tokens=1_000),
    TokenCounts(input_tokens=1_000, cached_tokens=1_000),
)
_LARGE = TokenCounts(input_tokens=900_000, output_tokens=60_000, cached_tokens=400_000)


class _Rates(NamedTuple):
    """USD for each token that is read anew, written, and read from the cache."""

    input: float
    output: float
    cached: float

    def price(self, tokens: TokenCounts) -> float:
        cached = min(tokens.cached_tokens, tokens.input_tokens)
        fresh = tokens.input_tokens - cached
        return fresh * self.input + tokens.output_tokens * self.output + cached * self.cached


class KnownPrices:
    """The list of known prices. A model whose price depends on the size of a call is looked up each time."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], _Rates | None] = {}
        self._stepped: set[tuple[str, str]] = set()

    def find_cost_usd(self, model: str, provider: str, tokens: TokenCounts) -> float | None:
        """Return the known price of a call in USD; None if the model has none."""
        key = (model, provider)
        if key not in self._rates:
            self._rates[key] = self._probe(key)
        if key in self._stepped:
            return look_up_cost_usd(model, tokens, provider=provider)
        rates = self._rates[key]
        return None if rates is None else rates.price(tokens)

    def _probe(self, key: tuple[str, str]) -> _Rates | None:
        model, provider = key
        costs = [look_up_cost_usd(model, tokens, provider=provider) for tokens in _PROBES]
        if None in costs:
            return None
        rates = _Rates(*(cost / 1_000 for cost in costs if cost is not None))
        large = look_up_cost_usd(model, _LARGE, provider=provider)
        if large is None or not math.isclose(large, rates.price(_LARGE), rel_tol=1e-6):
            self._stepped.add(key)
        return rates
