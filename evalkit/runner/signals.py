"""Stop a run on SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Sent by Ctrl-C, by a CI system that cancels a job, and by a terminal that closes."""

GRACE_S = 10.0
"""Seconds that running trials may take to finish after a stop is requested."""


class StopRequest:
    """Asks a run to stop: running trials get a grace period to finish, then they are canceled."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.requested = asyncio.Event()
        self.immediate = asyncio.Event()
        self._grace_s = grace_s

    def request(self) -> None:
        """Start no more trials; after the grace period or a second call, cancel the running ones."""
        if self.requested.is_set():
            self.immediate.set()
        else:
            self.requested.set()
            asyncio.get_running_loop().call_later(self._grace_s, self.immediate.set)


@contextmanager
def stop_on_signals(stop: StopRequest) -> Iterator[list[int]]:
    """Request a stop for each signal that arrives; yield the list of their numbers."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def handle(number: int) -> None:
        received.append(number)
        stop.request()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield received
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
