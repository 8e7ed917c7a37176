"""Look up what the tokens of a model call cost in the list of known prices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LOCAL_PROVIDERS = ("ollama", "llamacpp", "llama_cpp", "llama.cpp", "lmstudio", "lm_studio", "vllm")
"""The providers, as spans name them, whose models run on the user's own machines and have no price."""

_SIZE_TAG = re.compile(r":[\d.]+[bm](-|$)")
"""The end of a model's name in Ollama: `deepseek-r1:7b`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCounts:
    """The tokens of one call, and its cost in USD if the endpoint reports it.

    `cached_tokens` were read from the provider's cache, and `cache_write_tokens` were written to it. Both
    are part of the input tokens and may have prices of their own.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reported_cost_usd: float | None = None


def look_up_cost_usd(
    model: str, tokens: TokenCounts, *, provider: str = "", url: str = ""
) -> float | None:
    """Return the known price of one call in USD; None if the model has none.

    `model` is a name as libraries write it, which may begin with the provider: `gpt-4o`, `openai/gpt-4o`,
    `us.anthropic.claude-sonnet-4-5-20250929-v1:0`. `provider` is the name that a span gives; without a
    price there, the maker of the model is asked. With `url`, only the price of the provider at this
    address counts.
    """
    if not model or provider.lower() in LOCAL_PROVIDERS or _SIZE_TAG.search(model):
        return None
    # The package contains its list and makes no request. It imports pydantic, which takes long.
    import genai_prices  # noqa: PLC0415 - only runs with tokens need it

    read = min(tokens.cached_tokens, tokens.input_tokens)
    written = min(tokens.cache_write_tokens, tokens.input_tokens - read)
    usage = genai_prices.Usage(
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=read or None,
        cache_write_tokens=written or None,
    )
    names = [(model, None)] if url else _list_names(model, provider)
    for name, seller in names:
        try:
            if url:
                price = genai_prices.calc_price(usage, name, provider_api_url=url)
            else:
                price = genai_prices.calc_price(usage, name, provider_id=seller)
        except (LookupError, ValueError):
            continue
        return float(price.total_price)
    return None


def _list_names(model: str, provider: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names and the providers under which a model may have a price."""
    if provider:
        yield model, provider
    yield model, None
    for mark in ("/", ":"):
        prefix, _, name = model.partition(mark)
        if name and prefix.lower() not in LOCAL_PROVIDERS:
            yield name, prefix
            yield name.rpartition(mark)[2], None
    # Amazon Bedrock: a region, the maker, the model, and a version.
    yield model.rpartition("/")[2], "aws"


def load_known_prices() -> None:
    """Load the list of known prices, which takes half a second the first time."""
    look_up_cost_usd("gpt-4o", TokenCounts(input_tokens=1))
