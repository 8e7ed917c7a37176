"""Look up what the tokens of a model call cost in the list of known prices."""

from __future__ import annotations

import re
from collections.abc import Iterator

LOCAL_PROVIDERS = ("ollama", "llamacpp", "llama_cpp", "llama.cpp", "lmstudio", "lm_studio", "vllm")
"""The providers, as spans name them, whose models run on the user's own machines and have no price."""

_SIZE_TAG = re.compile(r":[\d.]+[bm](-|$)")
"""The end of a model's name in Ollama: `deepseek-r1:7b`."""


def look_up_cost_usd(
    model: str,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    provider: str = "",
    url: str = "",
) -> float | None:
    """Return the cost of one call in USD; None if the model has no known price.

    `cached_tokens` and `cache_write_tokens` are parts of the input tokens. With `url`, only the price of
    the provider at this address counts. `model` is a name as libraries write it, which may begin
    with the provider: `gpt-4o`, `openai/gpt-4o`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`. `provider`
    is the name that a span gives; without a price there, the maker of the model is asked.
    """
    if not model or provider.lower() in LOCAL_PROVIDERS or _SIZE_TAG.search(model):
        return None
    # The package contains its list and makes no request. It imports pydantic, which takes long.
    import genai_prices  # noqa: PLC0415 - only runs with tokens need it

    read = min(cached_tokens, input_tokens)
    tokens = genai_prices.Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=read or None,
        cache_write_tokens=min(cache_write_tokens, input_tokens - read) or None,
    )
    names = [(model, None)] if url else _list_names(model, provider)
    for name, seller in names:
        try:
            price = genai_prices.calc_price(
                tokens, name, provider_id=seller, provider_api_url=url or None
            )
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
    look_up_cost_usd("gpt-4o", input_tokens=1, output_tokens=0)
