"""The pace of calls under limits of every kind, in virtual time: hours take a moment."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from evalkit.agents.lane import Lane, NoPermit
from evalkit.agents.pacer import Pacer, find_pacer
from evalkit.agents.rate_limits import TokenEstimate
from evalkit.agents.retry import Retried, retry_call
from evalkit.core.trial import AgentError, Output
from tests.support.virtual_time import (
    AtMostAtOnce,
    AtRandom,
    Endpoint,
    FixedWindow,
    Outage,
    TokenBucket,
    failure,
    now_s,
    refusal,
    run_virtually,
)


@dataclass
class Ran:
    """How long a run took, and the calls that it lost."""

    took_s: float = 0.0
    lost: list[Retried[Output]] = field(default_factory=list)
    lane: Lane | None = None


async def call_all(
    endpoint: Endpoint,
    calls: int,
    *,
    concurrency: int = 8,
    seed: int = 1,
    attempts: int = 4,
    deadline_s: float = 120.0,
    **limits: Any,
) -> Ran:
    """Make so many calls, as a run does."""
    ran = Ran()
    pacer = Pacer(asyncio.get_running_loop().time, random.Random(seed))
    lane = ran.lane = Lane(pacer, deadline_s=deadline_s, **limits)
    slots = asyncio.Semaphore(concurrency)

    async def call_one(number: int) -> None:
        async def send(_: int) -> Output:
            try:
                async with lane.permit(number) as permit:
                    return Output(error=permit.record(await endpoint(number)))
            except NoPermit as refused:
                return Output(error=refused.error)

        async with slots:
            retried = await retry_call(send, attempts=attempts, lane=lane)
        if retried.result.error is not None:
            ran.lost.append(retried)

    started_s = now_s()
    await asyncio.gather(*map(call_one, range(calls)))
    ran.took_s = now_s() - started_s
    return ran


def run(endpoint: Endpoint, calls: int, **given: Any) -> Ran:
    return run_virtually(lambda: call_all(endpoint, calls, **given))


def smallest_gap_s(starts_s: Sequence[float]) -> float:
    return min(later - earlier for earlier, later in itertools.pairwise(starts_s))


# Limits that an endpoint enforces


@pytest.mark.parametrize(
    ("endpoint", "calls", "ideal_s", "refused"),
    [
        (lambda: TokenBucket(1, 1), 46, 46, 0.10),
        (lambda: TokenBucket(1, 60), 120, 60, 0.10),
        (lambda: TokenBucket(5, 5), 156, 31, 0.10),
        (lambda: TokenBucket(5, 5, latency_s=3.0), 156, 34, 0.10),
        (lambda: TokenBucket(50, 50), 1000, 20, 0.10),
        (lambda: FixedWindow(5, 1.0), 156, 32, 0.10),
        (lambda: FixedWindow(60, 60.0), 150, 150, 0.10),
        (lambda: TokenBucket(5, 5, "none"), 156, 31, 0.25),
        (lambda: TokenBucket(5, 1, "exact"), 156, 33, 0.15),
    ],
)
def test_a_limit_is_learned_and_kept(
    endpoint: Any, calls: int, ideal_s: float, refused: float
) -> None:
    ratios = []
    for seed in range(3):
        served = endpoint()
        ran = run(served, calls, concurrency=16, seed=seed)
        assert ran.lost == []
        assert Counter(served.served) == Counter(range(calls))
        assert served.refused_share <= refused
        ratios.append(ran.took_s / ideal_s)
    assert sum(ratios) / len(ratios) <= 1.15


def test_two_runs_on_one_key_share_its_limit() -> None:
    async def both(seed: int) -> float:
        endpoint = TokenBucket(5, 5, seed=seed)
        started_s = now_s()
        first, second = await asyncio.gather(
            call_all(endpoint, 81, seed=seed), call_all(endpoint, 81, seed=seed + 100)
        )
        assert first.lost == second.lost == []
        return (now_s() - started_s) / (162 / 5)

    ratios = [run_virtually(partial(both, seed)) for seed in range(8)]
    assert sum(ratios) / len(ratios) <= 1.25


def test_an_endpoint_that_serves_few_calls_at_once_gets_about_as_many() -> None:
    ran = run(AtMostAtOnce(3, latency_s=1.0), 100)
    assert ran.lost == []
    assert ran.took_s <= 2 * 100 / 3


@pytest.mark.parametrize("wait_s", [None, 1.0])
@pytest.mark.parametrize("refusal_s", [0.003, 0.1])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_refusals_at_random_are_no_rate(
    share: float, refusal_s: float, wait_s: float | None
) -> None:
    """A learned rate would fall and fall."""
    took_s = []
    for seed in range(5):
        endpoint = AtRandom(share, wait_s, refusal_s=refusal_s, seed=seed)
        ran = run(endpoint, 200, seed=seed)
        assert ran.lost == []
        took_s.append(ran.took_s)
    # Without pauses, 8 calls at once take 2.5 s, and the waits of the refused ones 8 s more.
    assert sorted(took_s)[2] <= 30


def test_during_a_pause_no_call_starts() -> None:
    endpoint = TokenBucket(1, 1, "seconds")
    run(endpoint, 5, concurrency=16)
    first_s = endpoint.refusals_s[0]
    late = [start_s for start_s in endpoint.starts_s if 0.1 < start_s - first_s < 1.0]
    assert late == []


# Outages, and calls that fail by themselves


@pytest.mark.parametrize(
    "error", [refusal(kind="http_status"), refusal(kind="connect"), failure(), failure("timeout")]
)
@pytest.mark.parametrize("concurrency", [2, 16])
def test_an_outage_loses_no_call_and_repeats_none_that_was_served(
    error: AgentError, concurrency: int
) -> None:
    endpoint = Outage(error)
    ran = run(endpoint, 80, concurrency=concurrency)
    assert ran.lost == []
    assert Counter(endpoint.served) == Counter(range(80))
    assert ran.took_s <= 20 + 8 + 80 * 0.15 / concurrency
    # Only one call at a time finds out whether it is over.
    assert len(endpoint.refusals_s) <= 3 * concurrency + 12


def test_a_call_that_always_fails_ends_after_its_attempts() -> None:
    class Broken(Endpoint):
        async def __call__(self, call: object = None) -> AgentError | None:
            await super().__call__(call)
            asked.append(call)
            return failure() if call in (3, 39) else None

    asked: list[object] = []
    ran = run(Broken(), 40, attempts=3)
    assert [each.give_up_reason for each in ran.lost] == ["Given up after 3 attempts."] * 2
    assert asked.count(3) == asked.count(39) == 3
    assert len(asked) == 40 + 4


def test_an_endpoint_that_never_answers_is_given_up_at_the_deadline() -> None:
    endpoint = Outage(refusal(), after=0, for_s=10_000.0)
    ran = run(endpoint, 40, deadline_s=60.0)
    assert len(ran.lost) == 40
    assert 50 <= ran.took_s <= 70
    assert {each.attempts for each in ran.lost} == {1}
    assert len(endpoint.starts_s) <= 30


def test_an_address_without_a_server_is_given_up_after_the_attempts() -> None:
    endpoint = Outage(refusal(kind="connect"), after=0, for_s=10_000.0)
    ran = run(endpoint, 8, attempts=3)
    assert len(endpoint.starts_s) == 8 * 3
    assert ran.took_s <= 5


def test_a_wait_that_is_too_long_ends_the_calls_at_once() -> None:
    endpoint = Outage(refusal(3600.0), after=10, for_s=10_000.0)
    ran = run(endpoint, 100, deadline_s=60.0)
    assert len(ran.lost) + len(endpoint.served) == 100
    assert len(endpoint.served) <= 20
    assert "s away, deadline_s leaves 60 s" in ran.lost[0].give_up_reason
    assert ran.took_s <= 10
    assert len(endpoint.refusals_s) <= 20


def test_time_in_which_calls_are_served_is_not_counted() -> None:
    ran = run(TokenBucket(0.5, 1), 60, concurrency=60, deadline_s=10.0)
    assert ran.lost == []
    assert ran.took_s >= 100


# Limits that the user sets


def test_a_rate_spaces_the_calls() -> None:
    endpoint = Endpoint()
    ran = run(endpoint, 11, rate=2.0)
    assert smallest_gap_s(endpoint.starts_s) >= 0.5
    assert ran.took_s <= 5.5


def test_tokens_per_minute_are_estimated_and_corrected() -> None:
    async def call(used: float) -> float:
        lane = Lane(Pacer(asyncio.get_running_loop().time), tokens_per_min=6000)
        for number in range(20):
            async with lane.permit(number, 1000.0) as permit:
                permit.record(None, used)
        return now_s() - 1000.0

    assert run_virtually(lambda: call(1000.0)) == pytest.approx(19 * 10 / 0.98, rel=0.01)
    assert run_virtually(lambda: call(100.0)) <= 40


def test_the_estimate_of_tokens_learns_the_length_of_answers() -> None:
    estimate = TokenEstimate(200)
    assert estimate.estimate(400) == 300
    assert estimate.add(110, 20) == 130
    assert estimate.estimate(400) == 120
    assert estimate.add(0, 0) is None


def test_lanes_of_one_pacer_share_what_is_learned_but_not_their_limits() -> None:
    async def share() -> list[float]:
        pacers: dict[str, Any] = {}
        pacer = find_pacer(pacers, "https://host/v1/", "key")
        assert find_pacer(pacers, "https://host/v1", "key") is pacer
        assert find_pacer(pacers, "https://host/v1", "other") is not pacer
        pacer = Pacer(asyncio.get_running_loop().time)
        slow, fast = Lane(pacer, rate=1.0), Lane(pacer)
        starts_s = []
        async with slow.permit("a") as permit:
            permit.record(None)
        started_s = now_s()
        async with fast.permit("b") as permit:
            starts_s.append(now_s() - started_s)
            permit.record(refusal(30.0))
        async with fast.permit("c"):
            starts_s.append(now_s() - started_s)
        return starts_s

    at_once, after_the_pause = run_virtually(share)
    assert at_once < 0.1
    assert 30.0 <= after_the_pause <= 32.0


# What can happen to a call that waits


def test_a_canceled_call_gives_its_turn_to_the_next() -> None:
    async def live() -> None:
        lane = Lane(Pacer(asyncio.get_running_loop().time), concurrency=1)

        async def hold() -> str:
            async with lane.permit("x"):
                await asyncio.sleep(1)
            return "held"

        first, second, third = (asyncio.ensure_future(hold()) for _ in range(3))
        await asyncio.sleep(0.5)
        assert not lane.has_capacity
        second.cancel()
        first.cancel()
        assert await third == "held"
        assert lane.has_capacity

    run_virtually(live)


def test_a_closed_lane_ends_every_wait() -> None:
    async def live() -> None:
        lane = Lane(Pacer(asyncio.get_running_loop().time), concurrency=1)

        async def hold() -> None:
            async with lane.permit("x"):
                await asyncio.sleep(100)

        first, second = (asyncio.ensure_future(hold()) for _ in range(2))
        await asyncio.sleep(1)
        lane.close("over")
        with pytest.raises(NoPermit, match="over"):
            await second
        first.cancel()

    run_virtually(live)
