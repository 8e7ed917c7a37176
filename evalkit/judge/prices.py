"""What tokens cost: by the prices of the set, or else by those that are known of a model at its provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

USD_PER_MILLION = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCounts:
    """Tokens of one call; `cached_tokens` are among those that went in, and may be cheaper."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """The prices of one model at one address.

    `given` are USD per million tokens of `input` and `output`, and stand above everything. Without them
    a model on this machine has no known price, whatever it is called, and nor has one at an address that
    no known provider has.
    """

    model: str
    url: str
    is_local: bool
    set_prices: Mapping[str, float]

    @property
    def is_known(self) -> bool:
        """Whether calls have a price."""
        return self.compute_cost_usd(TokenCounts(input_tokens=1), self.model) is not None

    def compute_cost_usd(self, usage: TokenCounts, served: str) -> float | None:
        """USD of one call; `served` is the model that the endpoint says it was."""
        if self.set_prices:
            priced = (
                self.set_prices["input"] * usage.input_tokens,
                self.set_prices["output"] * usage.output_tokens,
            )
            return USD_PER_MILLION * sum(priced)
        if self.is_local:
            return None
        return next(
            (
                cost
                for model in dict.fromkeys((served, self.model))
                if model and (cost := _look_up_cost_usd(model, usage, self.url)) is not None
            ),
            None,
        )


def load_prices() -> None:
    """Load the list of known prices, which takes a while the first time."""
    _look_up_cost_usd("gpt-4o", TokenCounts(input_tokens=1), "https://api.openai.com/v1")


def _look_up_cost_usd(model: str, usage: TokenCounts, url: str) -> float | None:
    # It ships its list and asks nobody; it brings pydantic, which the openai client has loaded.
    import genai_prices  # noqa: PLC0415 - only a judge that is paid needs it

    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=min(usage.cached_tokens, usage.input_tokens) or None,
    )
    try:
        return float(genai_prices.calc_price(tokens, model, provider_api_url=url).total_price)
    except (LookupError, ValueError):
        return None
