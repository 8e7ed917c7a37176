"""Stop a run on SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""^C, a CI system's cancel, a terminal that is closed."""


@contextmanager
def _stop_on_signals(stop: StopRequest) -> Iterator[list[int]]:
    """Turn ^C and a CI system's cancel into a stop; yields the signals that came."""
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def obey(number: int) -> None:
        came.append(number)
        stop.request()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, obey, number)
    try:
        yield came
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


GRACE_S = 10.0
"""How long running trials may finish once a stop was asked for."""


class StopRequest:
    """Asks a run to stop: `ask` lets running trials finish for a while, a second `ask` does not."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.requested = asyncio.Event()
        self.immediate = asyncio.Event()
        self._grace_s = grace_s

    def request(self) -> None:
        """Stop starting trials; the second time, or after the grace, drop those that run."""
        if self.requested.is_set():
            self.immediate.set()
        else:
            self.requested.set()
            asyncio.get_running_loop().call_later(self._grace_s, self.immediate.set)
