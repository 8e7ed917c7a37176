"""Price the answers of an agent that reports tokens and no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from evalkit.agents.registry import identify_endpoint
from evalkit.core.eval_set import AgentSpec
from evalkit.core.location import Problem
from evalkit.core.prices import TokenCounts, look_up_cost_usd
from evalkit.core.trial import Output
from evalkit.judge.prices import apply_prices
from evalkit.trace.totals import fill_from_spans

MODEL_KINDS = ("openai", "anthropic")
"""The kinds of agents that are a model, whose tokens have a known price."""

NO_PRICE = (
    "max_cost_usd is set, but there is no price for {model!r} at {server}. Add prices: "
    "{{input: ..., output: ...}} in USD per million tokens (0 if it is free), or remove max_cost_usd."
)

RETURN_COST = (
    "Have it return cost_usd with each answer, or usage and give agent.prices (0 if it is free)."
)


def make_pricer(spec: AgentSpec) -> Callable[[Output], float | None]:
    """Return a function from an answer to its cost in USD; None if the cost is not known.

    The set's prices count first for a model. Any other agent's own cost counts before them, and so does
    that of its spans.
    """
    is_free = bool(spec.prices) and not any(spec.prices.values())
    is_model = spec.kind in MODEL_KINDS

    def price_tokens(output: Output) -> float | None:
        if is_free:  # also without a count of the tokens
            return 0.0
        if output.usage is None or not spec.prices:
            return None
        tokens = TokenCounts(
            input_tokens=output.usage.input_tokens, output_tokens=output.usage.output_tokens
        )
        return apply_prices(spec.prices, tokens)

    def price(output: Output) -> float | None:
        filled = fill_from_spans(output)
        if filled.cost_usd is not None and not (is_model and spec.prices):
            return filled.cost_usd
        priced = price_tokens(filled)
        return filled.cost_usd if priced is None else priced

    return price


def find_price_problems(
    spec: AgentSpec, environ: Mapping[str, str], *, is_run_limited: bool
) -> Iterator[Problem]:
    """Yield a problem if a cost limit is set for a model without a known price.

    Agents of other kinds report their costs with their answers.

    Raises:
        InvalidInput: the arguments of the agent are wrong.
    """
    is_limited = spec.max_cost_usd is not None or is_run_limited
    if spec.kind not in MODEL_KINDS or not is_limited or spec.prices:
        return
    # A name in place of the arguments is the model.
    model = str(spec.args.get("model") or spec.args.get("") or "")
    url, _ = identify_endpoint(spec, environ)
    if look_up_cost_usd(model, TokenCounts(input_tokens=1)) is None:
        from evalkit.agents.network_errors import get_host  # noqa: PLC0415 - loads aiohttp

        message = NO_PRICE.format(model=model, server=get_host(url))
        yield Problem(message=f"agent {spec.kind}: {message}", where=spec.where)
