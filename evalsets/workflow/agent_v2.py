"""The agent with fewer calls: it acts at once, and leaves it to the tools to refuse.

What was changed, and why it looked like a good idea: the tools know themselves what they can do, so
looking every order up first cost a call for nothing, and trying again cost another. Half the calls,
half the latency. That `refund_order` pays whatever it is asked to was overlooked.
"""

from __future__ import annotations

from agent import OrderDesk

answer = OrderDesk(looks_first=False, attempts=1).answer
