"""The one retry loop of agents and judges: attempts, waits, and the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evalkit.agents.lane import Lane
from evalkit.agents.pacer import Pacer
from evalkit.agents.retry import Retried, retry_call
from evalkit.core.trial import AgentError, Output
from tests.support.virtual_time import run_virtually

FINE = Output(text="fine")
GONE = AgentError(kind="connection_lost", message="gone", retryable=True)
LOST = Output(error=GONE)
LIMITED = Output(error=replace(GONE, kind="rate_limited", transient=True, retry_after_s=30.0))
BROKEN = Output(error=AgentError(kind="bad_reply", message="no"))


def retry(
    outputs: Sequence[Output], attempts: int = 3, deadline_s: float = 100.0
) -> tuple[Retried[Output], list[float]]:
    """The result, and the waits before its attempts."""
    waits: list[float] = []

    async def call(number: int) -> Output:
        return outputs[number - 1]

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def live() -> Retried[Output]:
        lane = Lane(Pacer(asyncio.get_running_loop().time), deadline_s=deadline_s)
        return await retry_call(call, attempts=attempts, lane=lane, wait=wait)

    return run_virtually(live), waits


@pytest.mark.parametrize("output", [FINE, BROKEN])
def test_a_result_that_is_final_needs_no_wait(output: Output) -> None:
    assert retry([output]) == (Retried(result=output, attempts=1), [])


def test_a_failure_spends_an_attempt_and_a_transient_error_does_not() -> None:
    found, waits = retry([LOST, LIMITED, LIMITED, LIMITED, LOST, FINE])
    assert found == Retried(result=FINE, attempts=3)
    assert len(waits) == 5
    assert all(30.0 <= wait_s <= 33.0 for wait_s in waits[1:4])


def test_the_last_error_comes_with_the_reason_for_giving_up() -> None:
    assert retry([LOST, LOST], 2)[0].give_up_reason == "Given up after 2 attempts."
    late, waits = retry([LIMITED], deadline_s=10.0)
    assert (late.result, late.attempts, waits) == (LIMITED, 1, [])
    assert "s away, deadline_s leaves 10 s." in late.give_up_reason
    assert retry([LOST, BROKEN])[0].give_up_reason == ""


def test_calls_that_failed_together_come_back_apart() -> None:
    assert len({retry([LIMITED, FINE])[1][0] for _ in range(20)}) == 20
