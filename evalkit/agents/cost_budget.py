"""Limit what calls cost: each call reserves what it may cost before it starts, and pays afterward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

HEADROOM = 2.0
"""Calls run at once only while the limit has room for this many times their estimates.

Near the limit they run one at a time, so that only one call can cost more than the limit has left.
"""

MAX_UNPRICED_ANSWERS = 3
"""Answers without a cost, with none before them that had one, after which the payer has no price."""

ROUNDING_USD = 1e-9


class CostLimitReached(Exception):
    """A call may not start, because it does not fit into a limit; the message says which."""


class CostLimit:
    """A maximum in USD for the calls of one or several payers together; None is no limit.

    `is_reached` is true once a call did not fit into it.
    """

    def __init__(self, max_usd: float | None = None) -> None:
        self.max_usd = max_usd
        self.spent_usd = 0.0
        self.is_reached = False
        self._reserved_usd = 0.0
        self._in_flight = 0
        self._unpriced_in_flight = 0
        self._changed = asyncio.Event()

    def admits(self, estimate_usd: float | None) -> bool:
        """Return whether a call may start now; of those without an estimate, one at a time may."""
        if self.max_usd is None:
            return True
        if not self._in_flight:
            return not self.refuses(estimate_usd)
        if estimate_usd is None:
            return not self._unpriced_in_flight and self.spent_usd < self.max_usd
        planned_usd = self.spent_usd + HEADROOM * (self._reserved_usd + estimate_usd)
        return planned_usd <= self.max_usd + ROUNDING_USD

    def refuses(self, estimate_usd: float | None) -> bool:
        """Return whether a call would not fit even alone, with nothing in flight that could end."""
        if self.max_usd is None or self._in_flight:
            return False
        if estimate_usd is None:
            return self.spent_usd >= self.max_usd - ROUNDING_USD
        return self.spent_usd + estimate_usd > self.max_usd + ROUNDING_USD

    def hold(self, estimate_usd: float | None) -> None:
        """Reserve the estimate of a call that starts."""
        self._in_flight += 1
        self._unpriced_in_flight += estimate_usd is None
        self._reserved_usd += estimate_usd or 0.0

    def settle(self, estimate_usd: float | None, cost_usd: float) -> None:
        """Replace the estimate of a call that ended by its cost."""
        self._in_flight -= 1
        self._unpriced_in_flight -= estimate_usd is None
        self._reserved_usd -= estimate_usd or 0.0
        self.spent_usd += cost_usd
        self.notify()

    def notify(self) -> None:
        """Wake the calls that wait."""
        # A new event, so that later calls wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Wait until a call settles, or a budget closes."""
        await self._changed.wait()


@dataclass(slots=True)
class PaidCall:
    """One call that a budget admitted.

    Set `cost_usd` if it is known. `is_answered` says whether an answer came, whose cost should be known.
    """

    cost_usd: float | None = None
    is_answered: bool = False


class CostBudget:
    """The money of one payer, the agent or a judge: its own limit, and the one that it shares.

    The estimate of the next call is the cost of the most expensive one so far. Under a limit, as many
    calls run at once as have a known cost, so that a cheap first one does not start many expensive ones.
    `refusal` says why no further call may start; it is empty while one may.
    """

    def __init__(
        self, payer: str, own: CostLimit, shared: CostLimit, record: Callable[[float], None]
    ) -> None:
        self.payer = payer
        self.own = own
        self.refusal = ""
        self._shared = shared
        self._record = record
        self._highest_usd: float | None = None
        self._priced_calls = 0
        self._in_flight = 0
        self._unpriced_answers = 0

    @property
    def has_no_price(self) -> bool:
        """Whether several answers came, and none had a cost."""
        return self._highest_usd is None and self._unpriced_answers >= MAX_UNPRICED_ANSWERS

    @property
    def lacks_price(self) -> bool:
        """Whether answers came, and none had a cost, so that a limit could not be checked."""
        return self._highest_usd is None and self._unpriced_answers > 0

    @property
    def _estimate_usd(self) -> float | None:
        # Under a shared limit, a payer that reports no costs does not slow down the others.
        return 0.0 if self.has_no_price else self._highest_usd

    def restore(self, costs_usd: Iterable[float]) -> None:
        """Count calls that were paid before the run was resumed; the shared limit has them already."""
        for cost_usd in costs_usd:
            self.own.spent_usd += cost_usd
            self._learn_cost(cost_usd)

    def close(self, reason: str) -> None:
        """Refuse all further calls, also those that wait; keep the first reason."""
        self.refusal = self.refusal or reason
        for limit in (self.own, self._shared):
            limit.notify()

    @asynccontextmanager
    async def pay(self) -> AsyncIterator[PaidCall]:
        """Wait until a call fits into the limits; hold its estimate until the context ends.

        Raises:
            CostLimitReached: it does not fit, or the budget is closed.
        """
        estimate_usd = await self._wait_for_room()
        limits = (self.own, self._shared)
        self._in_flight += 1
        for limit in limits:
            limit.hold(estimate_usd)
        call = PaidCall()
        try:
            yield call
        finally:
            self._in_flight -= 1
            self._learn(call)
            for limit in limits:
                limit.settle(estimate_usd, call.cost_usd or 0.0)

    async def _wait_for_room(self) -> float | None:
        while True:
            if self.refusal:
                raise CostLimitReached(self.refusal)
            estimate_usd = self._estimate_usd
            limits = (self.own, self._shared)
            tight = [limit for limit in limits if not limit.admits(estimate_usd)]
            if not tight and self._may_join():
                return estimate_usd
            refusing = next((limit for limit in tight if limit.refuses(estimate_usd)), None)
            if refusing is not None:
                refusing.is_reached = True
                self.close(self._explain(refusing, estimate_usd))
            else:
                # Each call in flight is one of both limits.
                await (tight or limits)[0].wait_for_change()

    def _may_join(self) -> bool:
        """Return whether enough costs are known for one more call at once."""
        is_limited = self.own.max_usd is not None or self._shared.max_usd is not None
        return not is_limited or self.has_no_price or self._in_flight < max(1, self._priced_calls)

    def _learn(self, call: PaidCall) -> None:
        if call.cost_usd is None:
            self._unpriced_answers += call.is_answered
        else:
            self._learn_cost(call.cost_usd)
            if call.cost_usd:
                self._record(call.cost_usd)
        if self.own.max_usd is not None and self.has_no_price:
            self.close(
                f"{self.payer}.max_cost_usd is {self.own.max_usd:g} USD, but cannot be checked: "
                f"{self._unpriced_answers} answers of the {self.payer} came without a cost"
            )

    def _learn_cost(self, cost_usd: float) -> None:
        self._priced_calls += 1
        self._highest_usd = max(self._highest_usd or 0.0, cost_usd)

    def _explain(self, limit: CostLimit, estimate_usd: float | None) -> str:
        if limit is self.own:
            name, calls = f"{self.payer}.max_cost_usd", f"the {self.payer}'s calls"
        else:
            name, calls = "the run's max_cost_usd", "its calls"
        reason = f"{name} is {limit.max_usd:g} USD, and {calls} have cost {limit.spent_usd:.4g} USD"
        if estimate_usd and limit.max_usd and limit.spent_usd < limit.max_usd - ROUNDING_USD:
            reason += f"; another call of the {self.payer} may cost {estimate_usd:.4g} USD"
        return reason


class RunCosts:
    """What the calls of a run may cost, and have cost: one budget per payer, and their shared limit.

    A payer has a key, by which its costs are stored, so that a resumed run counts them.
    """

    def __init__(self, max_usd: float | None = None) -> None:
        self.limit = CostLimit(max_usd)
        self._budgets: dict[str, CostBudget] = {}
        self._restored: dict[str, list[float]] = {}
        self._unstored: list[tuple[str, float]] = []
        self._store: Callable[[str, float], None] | None = None

    @property
    def refusals(self) -> frozenset[str]:
        """Why payers may make no further call."""
        return frozenset(each.refusal for each in self._budgets.values() if each.refusal)

    def open_budget(self, payer: str, key: str, max_usd: float | None = None) -> CostBudget:
        """Return the budget of a key; the first call decides its own limit."""
        if key not in self._budgets:
            budget = CostBudget(
                payer, CostLimit(max_usd), self.limit, lambda cost_usd: self._record(key, cost_usd)
            )
            budget.restore(self._restored.get(key, ()))
            self._budgets[key] = budget
        return self._budgets[key]

    def restore(self, costs: Iterable[tuple[str, float]]) -> None:
        """Count the calls, as pairs of key and USD, that were paid before the run was resumed."""
        for key, cost_usd in costs:
            self.limit.spent_usd += cost_usd
            if key in self._budgets:
                self._budgets[key].restore([cost_usd])
            else:
                self._restored.setdefault(key, []).append(cost_usd)

    def store_with(self, store: Callable[[str, float], None]) -> None:
        """Pass the cost of each call to `store`, first those that are paid already."""
        for key, cost_usd in self._unstored:
            store(key, cost_usd)
        self._unstored.clear()
        self._store = store

    def _record(self, key: str, cost_usd: float) -> None:
        if self._store is None:
            self._unstored.append((key, cost_usd))
        else:
            self._store(key, cost_usd)
