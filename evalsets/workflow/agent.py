"""An order agent without a model: it reads what the customer wants and calls six tools."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from desk import Desk, Timeout, ToolFailed
from reading import Request, read_requests

LAST_DAY = 30
MOST_REFUNDED = 200.0


class OrderDesk:
    """Acts within the rules of the shop.

    It looks up an order before it changes it, unless `looks_first` is false, and calls a failing tool
    up to `attempts` times. It passes a request to a human if the rules require one, or if it cannot be
    fulfilled.
    """

    def __init__(self, *, looks_first: bool = True, attempts: int = 2) -> None:
        self.looks_first = looks_first
        self.attempts = attempts

    def answer(
        self, asked: str | Sequence[Mapping[str, str]], context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer a message or the last turn of a conversation; `context["seed"]` is the seed."""
        turns = (
            [asked]
            if isinstance(asked, str)
            else [t["content"] for t in asked if t["role"] == "user"]
        )
        seed = context.get("seed")
        requests = read_requests(
            turns, random.Random(0 if seed is None else f"{seed} {turns[-1]!a}")
        )
        with closing(Desk(seed)) as desk:
            said = [self._handle(request, desk) for request in requests]
            changes = desk.changes()
        if not said:
            said = ["What can I do for you?"]
        return {
            "output": " ".join(dict.fromkeys(said)),
            "data": changes,
            "tool_calls": desk.calls,
        }

    def _handle(self, request: Request, desk: Desk) -> str:
        try:
            if request.do == "human":
                return self._hand_over(desk, request.order, "asked for a human")
            order = request.order or self._find(request, desk)
            if not order:
                return "Which order do you mean?"
            if not self.looks_first and request.do != "status":
                return self._act(request, order, desk)
            known = self._try(desk, "get_order", order=order)
            if known is None:
                return f"I cannot find an order {order}."
            return self._decide(request, known, desk)
        except ToolFailed:
            return self._hand_over(desk, request.order, "a tool failed")

    def _try(self, desk: Desk, tool: str, **arguments: Any) -> Any:
        for attempt in range(self.attempts):
            try:
                return desk.call(tool, **arguments)
            except Timeout:
                if attempt == self.attempts - 1:
                    raise
        return None

    def _find(self, request: Request, desk: Desk) -> str:
        """Return the one order of an e-mail address; empty if there are several or none."""
        found = self._try(desk, "find_orders", email=request.email) if request.email else []
        return found[0] if len(found) == 1 else ""

    def _hand_over(self, desk: Desk, order: str, reason: str) -> str:
        self._try(desk, "hand_over", order=order, reason=reason)
        return "A colleague will write to you today."

    def _act(self, request: Request, order: str, desk: Desk) -> str:
        if request.do == "cancel":
            self._try(desk, "cancel_order", order=order)
            return f"{order} is cancelled."
        if request.do == "refund":
            self._try(desk, "refund_order", order=order)
            return f"{order} is refunded."
        if not request.city:
            return "To which town should it go?"
        self._try(desk, "change_address", order=order, city=request.city)
        return f"Order {order} will go to {request.city}."

    def _decide(self, request: Request, known: Mapping[str, Any], desk: Desk) -> str:
        order, status = known["id"], known["status"]
        if request.do == "status":
            return f"{order} ({known['item']}) is {status}."
        if request.do == "refund":
            return self._decide_refund(request, known, desk)
        if status == "open":
            return self._act(request, order, desk)
        if request.do == "address" and status == "shipped":
            return self._hand_over(desk, order, "on its way to the old address")
        return f"{order} is {status}; that cannot be changed now."

    def _decide_refund(self, request: Request, known: Mapping[str, Any], desk: Desk) -> str:
        order = known["id"]
        if known["refunded"]:
            return f"{order} was refunded before."
        if known["status"] != "delivered":
            return f"{order} is {known['status']}; it can be refunded once it is there."
        if known["days"] > LAST_DAY:
            return f"{order} arrived {known['days']} days ago, and {LAST_DAY} are allowed."
        if known["total"] > MOST_REFUNDED:
            return self._hand_over(desk, order, "more than a machine may refund")
        return self._act(request, order, desk)


answer = OrderDesk().answer
