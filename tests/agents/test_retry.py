"""The one retry loop of agents and judges: attempts, waits, and the time budget."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from evalkit.agents.retry import Retried, retry_call
from evalkit.core.trial import AgentError, Output

FINE = Output(text="fine")
LOST = Output(error=AgentError(kind="connection_lost", message="gone", retryable=True))
BROKEN = Output(error=AgentError(kind="bad_reply", message="no"))


class Budget:
    """Counts how often the time of a failing call is counted, and takes every wait."""

    def __init__(self, remaining_s: float = 100.0) -> None:
        self.remaining_s = remaining_s
        self.waits: list[float] = []
        self.counted = 0
        self.is_counting = False

    @contextmanager
    def count_time(self) -> Iterator[None]:
        self.counted += 1
        self.is_counting = True
        yield
        self.is_counting = False

    async def wait(self, wait_s: float) -> None:
        self.waits.append(wait_s)


def retry(outputs: Sequence[Output], budget: Budget, attempts: int = 3) -> Retried[Output]:
    async def call(attempt: int) -> Output:
        return outputs[attempt - 1]

    return asyncio.run(retry_call(call, attempts=attempts, budget=budget, rng=random.Random(1)))


@pytest.mark.parametrize("output", [FINE, BROKEN])
def test_a_result_that_is_final_uses_no_budget(output: Output) -> None:
    budget = Budget()
    assert retry([output], budget) == Retried(result=output, attempts=1)
    assert (budget.counted, budget.waits) == (0, [])


def test_time_is_counted_once_from_the_first_failure_to_the_end() -> None:
    budget = Budget()
    assert retry([LOST, LOST, FINE], budget) == Retried(result=FINE, attempts=3)
    assert (budget.counted, budget.is_counting, len(budget.waits)) == (1, False, 2)


def test_the_last_error_comes_with_the_reason_for_giving_up() -> None:
    assert retry([LOST, LOST], Budget(), 2).give_up_reason == "Given up after 2 attempts."
    late = retry([LOST], Budget(0.1))
    assert late.result == LOST
    assert late.give_up_reason == ("Given up: the next attempt is 1 s away, deadline_s leaves 0 s.")
    assert retry([LOST, BROKEN], Budget()).give_up_reason == ""
