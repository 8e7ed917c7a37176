"""The agent with fewer calls: it acts at once and relies on the tools to refuse.

The change and its reasons, which seemed good: the tools know what they can do, so looking up every
order first wasted a call, and so did retries. Half the calls, half the latency. The author overlooked
that `refund_order` pays whatever it is asked to.
"""

from __future__ import annotations

from agent import OrderDesk

answer = OrderDesk(looks_first=False, attempts=1).answer
