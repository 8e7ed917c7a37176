"""Price the answers of an agent that reports tokens and no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from evalkit.agents.arguments import read_arguments
from evalkit.agents.completion import TokenCounts
from evalkit.agents.network_errors import get_host
from evalkit.core.eval_set import AgentSpec
from evalkit.core.location import Problem
from evalkit.core.trial import Output
from evalkit.judge.prices import PriceList
from evalkit.trace.totals import fill_from_spans

NO_PRICE = (
    "max_cost_usd is set, but there is no price for {model!r} at {server}. Add prices: "
    "{{input: ..., output: ...}} in USD per million tokens (0 if it is free), or remove max_cost_usd."
)

RETURN_COST = (
    "Have it return cost_usd with each answer, or usage and give agent.prices (0 if it is free)."
)


def make_pricer(
    spec: AgentSpec, environ: Mapping[str, str], *, is_limited: bool
) -> Callable[[Output], float | None]:
    """Return a function from an answer to its cost in USD; None if the cost is not known.

    The agent's own cost counts first, then that of its spans, then its tokens at their price. Known prices
    of models are looked up only if the cost `is_limited`.
    """
    is_free = bool(spec.prices) and not any(spec.prices.values())
    uses_prices = bool(spec.prices) or (is_limited and spec.kind == "openai")

    @cache
    def load_prices() -> PriceList:
        return _build_price_list(spec, environ)

    def price(output: Output) -> float | None:
        filled = fill_from_spans(output)
        if filled.cost_usd is not None:
            return filled.cost_usd
        # What is free costs nothing, also without a count of its tokens.
        if is_free:
            return 0.0
        if filled.usage is None or not uses_prices:
            return None
        tokens = TokenCounts(
            input_tokens=filled.usage.input_tokens, output_tokens=filled.usage.output_tokens
        )
        served = str(output.metadata.get("model") or "")
        return load_prices().compute_cost_usd(tokens, served)

    return price


def find_price_problems(
    spec: AgentSpec, environ: Mapping[str, str], *, is_run_limited: bool
) -> Iterator[Problem]:
    """Yield that a limit of the cost is set for a model without a known price.

    Agents of other kinds report their costs with their answers.

    Raises:
        InvalidInput: the arguments of the agent are wrong.
    """
    if spec.kind != "openai" or not (spec.max_cost_usd is not None or is_run_limited):
        return
    prices = _build_price_list(spec, environ)
    if not prices.is_known:
        message = NO_PRICE.format(model=prices.model, server=get_host(prices.url))
        yield Problem(message=f"agent openai: {message}", where=spec.where)


def _build_price_list(spec: AgentSpec, environ: Mapping[str, str]) -> PriceList:
    if spec.kind != "openai":
        # Without an address, only the set's own prices count.
        return PriceList(model="", url="", is_local=True, set_prices=spec.prices)
    from evalkit.agents.openai import OpenaiArguments  # noqa: PLC0415 - only its own kind needs it

    arguments = read_arguments(spec, OpenaiArguments, shorthand="model")
    endpoint = arguments.resolve_endpoint(environ)
    return PriceList(
        model=arguments.model,
        url=endpoint.url,
        is_local=endpoint.is_local,
        set_prices=spec.prices,
    )
