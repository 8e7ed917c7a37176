"""Limits of cost: what calls in flight at once may spend together, and what a resumed run counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.agents.cost_budget import (
    MAX_UNPRICED_ANSWERS,
    CostBudget,
    CostLimitReached,
    RunCosts,
)


async def pay(budget: CostBudget, cost_usd: float | None, rng: random.Random) -> bool:
    """Make one call that takes a random number of turns of the loop; whether it was admitted."""
    try:
        async with budget.pay() as call:
            for _ in range(rng.randrange(1, 5)):
                await asyncio.sleep(0)
            call.cost_usd, call.is_answered = cost_usd, True
    except CostLimitReached:
        return False
    return True


def pay_all(
    costs: RunCosts, payers: Sequence[tuple[str, float | None, Sequence[float | None]]]
) -> list[list[bool]]:
    """Make all calls of all payers (a name, its own limit, the costs) at once; which were admitted."""

    async def run() -> list[list[bool]]:
        rng = random.Random(5)
        made: list[Awaitable[list[bool]]] = []
        for name, max_usd, prices in payers:
            budget = costs.open_budget(name, name, max_usd)
            made.append(asyncio.gather(*(pay(budget, price, rng) for price in prices)))
        async with asyncio.timeout(20):
            return list(await asyncio.gather(*made))

    return asyncio.run(run())


def test_equal_calls_spend_the_limit_and_not_a_cent_more() -> None:
    costs = RunCosts()
    [admitted] = pay_all(costs, [("judge", 1.0, [0.1] * 40)])
    assert sum(admitted) == 10
    assert costs.limit.spent_usd == pytest.approx(1.0)
    assert costs.refusals == {
        "judge.max_cost_usd is 1 USD, and the judge's calls have cost 1 USD",
    }


def test_without_a_limit_all_calls_run_at_once() -> None:
    in_flight = most = 0

    async def run() -> None:
        nonlocal in_flight, most
        budget = RunCosts().open_budget("agent", "agent")

        async def call() -> None:
            nonlocal in_flight, most
            async with budget.pay():
                in_flight += 1
                most = max(most, in_flight)
                await asyncio.sleep(0)
                in_flight -= 1

        await asyncio.gather(*(call() for _ in range(50)))

    asyncio.run(run())
    assert most == 50


@given(st.lists(st.floats(0.1, 0.2), min_size=1, max_size=60), st.floats(0.2, 5.0))
def test_the_limit_is_exceeded_by_no_more_than_one_call_costs_more_than_its_estimate(
    prices: list[float], max_usd: float
) -> None:
    costs = RunCosts()
    pay_all(costs, [("agent", max_usd, prices)])
    assert costs.limit.spent_usd <= max_usd + (max(prices) - min(prices)) + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_a_first_call_that_is_far_too_cheap_does_not_open_the_gates(seed: int) -> None:
    rng = random.Random(seed)
    prices = [0.005, *(rng.choice([0.01, 0.1, 0.3]) for _ in range(80))]
    costs = RunCosts()
    pay_all(costs, [("agent", 2.0, prices)])
    assert costs.limit.spent_usd <= 2.3


@given(
    st.lists(st.floats(0.1, 0.15), max_size=40),
    st.lists(st.floats(0.01, 0.015), max_size=40),
    st.floats(0.3, 5.0),
)
def test_agent_and_judge_share_the_limit_of_the_run(
    agent: list[float], judge: list[float], max_usd: float
) -> None:
    costs = RunCosts(max_usd)
    admitted = pay_all(costs, [("agent", None, agent), ("judge", None, judge)])
    spent = sum(
        price
        for prices, flags in zip((agent, judge), admitted, strict=True)
        for price, flag in zip(prices, flags, strict=True)
        if flag
    )
    assert costs.limit.spent_usd == pytest.approx(spent)
    assert spent <= max_usd + 0.05 + 1e-9, "one call costs more than its estimate"
    if sum(agent) + sum(judge) <= max_usd / 2:
        assert all(map(all, admitted)), "there was money for all"


def test_a_call_that_would_not_fit_even_alone_is_refused_and_a_cheaper_payer_goes_on() -> None:
    costs = RunCosts(1.0)
    agent, judge = pay_all(costs, [("agent", None, [0.6, 0.6]), ("judge", None, [0.05] * 4)])
    assert sum(agent) == 1
    assert all(judge)
    [reason] = costs.refusals
    assert reason.startswith("the run's max_cost_usd is 1 USD, and its calls have cost ")
    assert reason.endswith("another call of the agent may cost 0.6 USD")


def test_a_payer_whose_answers_have_no_cost_is_refused_under_its_own_limit() -> None:
    costs = RunCosts()
    [admitted] = pay_all(costs, [("agent", 1.0, [None] * 20)])
    assert sum(admitted) == MAX_UNPRICED_ANSWERS
    [reason] = costs.refusals
    assert "agent.max_cost_usd is 1 USD, but cannot be checked" in reason


def test_a_payer_whose_answers_have_no_cost_spends_nothing_of_a_shared_limit() -> None:
    costs = RunCosts(1.0)
    agent, judge = pay_all(costs, [("agent", None, [None] * 20), ("judge", None, [0.1] * 20)])
    assert (sum(agent), sum(judge)) == (20, 10)
    assert costs.open_budget("agent", "agent").lacks_price


def test_a_resumed_run_counts_what_was_spent_before() -> None:
    stored: list[tuple[str, float]] = []
    before = RunCosts()
    before.store_with(lambda key, cost_usd: stored.append((key, cost_usd)))
    pay_all(before, [("agent", 1.0, [0.2] * 3), ("judge", None, [0.1])])
    assert sorted(stored) == [("agent", 0.2)] * 3 + [("judge", 0.1)]
    for restore_first in (True, False):
        again = RunCosts(2.0)
        if not restore_first:
            again.open_budget("agent", "agent", 1.0)
        again.restore(stored)
        [admitted] = pay_all(again, [("agent", 1.0, [0.2] * 10)])
        assert sum(admitted) == 2
        assert again.limit.spent_usd == pytest.approx(1.1)


def test_what_was_paid_before_there_was_a_store_is_stored_later() -> None:
    costs = RunCosts()
    pay_all(costs, [("judge", None, [0.1, 0.0, None])])
    stored: list[tuple[str, float]] = []
    costs.store_with(lambda key, cost_usd: stored.append((key, cost_usd)))
    assert stored == [("judge", 0.1)]


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_a_call_that_waits_for_money_ends_with_its_budget_or_its_task(end: str) -> None:
    async def run() -> None:
        costs = RunCosts()
        budget = costs.open_budget("judge", "judge", 1.0)
        async with budget.pay() as first:
            waiting = asyncio.ensure_future(pay(budget, 0.1, random.Random(1)))
            await asyncio.sleep(0)
            assert not waiting.done(), "no price is known, so the second call waits"
            ended: Callable[[], object] = waiting.cancel
            if end == "close":
                budget.close("over")
                ended = lambda: None  # noqa: E731
            ended()
            async with asyncio.timeout(5):
                [result] = await asyncio.gather(waiting, return_exceptions=True)
            first.cost_usd = 0.1
        if end == "close":
            assert result is False
        else:
            assert isinstance(result, asyncio.CancelledError)
            assert await pay(budget, 0.1, random.Random(1)), "what was canceled holds no money"

    asyncio.run(run())
