"""Limit the processor time of one score, so that no answer keeps a metric busy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DEADLINE_S = 0.8
"""Processor seconds that one score may take. Nearly all take less than a millisecond."""

MAX_INLINE_S = 0.02
"""Processor seconds that a score may block the event loop before it is computed in a thread."""

_ends_at: ContextVar[float] = ContextVar("_ends_at", default=math.inf)


class OutOfTime(Exception):
    """A score takes too long; the text says what does."""


@contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Limit the processor time of this thread; outside of it, nothing is limited."""
    token = _ends_at.set(time.thread_time() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def remaining_s() -> float:
    """Return the seconds that are left, which may be infinite or negative."""
    ends_at = _ends_at.get()
    return ends_at if ends_at == math.inf else ends_at - time.thread_time()


def check_deadline(work: str, needed_s: float = 0.0) -> None:
    """Raise OutOfTime, which names the work, unless more than `needed_s` seconds are left."""
    if remaining_s() <= needed_s:
        raise OutOfTime(f"{work} takes longer than {DEADLINE_S:g} s of processor time")
