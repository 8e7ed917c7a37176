"""Compute the cost of tokens from the eval set's prices, or else from the provider's known prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.core.prices import TokenCounts, look_up_cost_usd

USD_PER_MILLION = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """The prices of one model at one URL.

    `set_prices` are USD per million tokens of `input` and `output`, and override all other prices. They
    may name `cached_input` and `cache_write`, which otherwise cost as much as other input. Without
    `set_prices`, the cost is what the endpoint reports, or else that of the known prices. A model on
    this machine or at the URL of an unknown provider has none, whatever its name is.
    """

    model: str
    url: str
    is_local: bool
    set_prices: Mapping[str, float]

    @property
    def is_known(self) -> bool:
        """Whether calls have a known price."""
        return self.compute_cost_usd(TokenCounts(input_tokens=1), self.model) is not None

    def compute_cost_usd(self, usage: TokenCounts, served_model: str) -> float | None:
        """Return the cost of one call in USD; `served_model` is the model named in the reply.

        A reply without a count of tokens has no known cost, unless all set prices are 0.
        """
        if self.set_prices:
            if not (usage.input_tokens or usage.output_tokens) and any(self.set_prices.values()):
                return usage.reported_cost_usd
            return apply_prices(self.set_prices, usage)
        if usage.reported_cost_usd is not None:
            return usage.reported_cost_usd
        if self.is_local or not (usage.input_tokens or usage.output_tokens):
            return None
        # The served name first, because it is a dated snapshot, which may have its own price.
        models = filter(None, dict.fromkeys((served_model, self.model)))
        costs = (look_up_cost_usd(model, usage, url=self.url) for model in models)
        return next((cost for cost in costs if cost is not None), None)


def apply_prices(prices: Mapping[str, float], usage: TokenCounts) -> float:
    """Return the cost of tokens in USD by an eval set's prices, which are per million tokens."""
    read, written = _count_cache_tokens(usage)
    return USD_PER_MILLION * (
        prices["input"] * (usage.input_tokens - read - written)
        + prices.get("cached_input", prices["input"]) * read
        + prices.get("cache_write", prices["input"]) * written
        + prices["output"] * usage.output_tokens
    )


def _count_cache_tokens(usage: TokenCounts) -> tuple[int, int]:
    """Return the tokens read from a cache and written to it, which together are at most the input."""
    read = min(usage.cached_tokens, usage.input_tokens)
    return read, min(usage.cache_write_tokens, usage.input_tokens - read)
