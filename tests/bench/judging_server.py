"""An agent and a judge that take their time: `python judging_server.py PAUSE_S`.

Any path is the agent's but that of chat completions, which is an honest judge's. `GET /span` tells how
often each was asked since it was last asked for.
"""

from __future__ import annotations

import asyncio
import json

from tests.bench.sleeping_server import SleepingServer, main
from tests.support.stub_judges import completion, honest, read_asking

AGENT_ANSWER = json.dumps({"output": "The capital is Paris."}).encode()


class JudgingServer(SleepingServer):
    """Both of them."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(pause_s)
        self._asked = {"agent": 0, "judge": 0}

    def choose_answer(self, head: bytes, asked: bytes) -> bytes:
        """A verdict for the judge's path."""
        if b"/chat/completions" not in head:
            self._asked["agent"] += 1
            return AGENT_ANSWER
        self._asked["judge"] += 1
        return json.dumps(completion(json.dumps(honest(read_asking(json.loads(asked)))))).encode()

    async def _tell(self) -> bytes:
        asked, self._asked = self._asked, {"agent": 0, "judge": 0}
        return json.dumps(asked).encode()


if __name__ == "__main__":
    asyncio.run(main(JudgingServer))
