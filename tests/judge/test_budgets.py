"""The limits of a judge by themselves, and in a storm of rate limits."""

from __future__ import annotations

import asyncio
import random

import pytest

from evalkit.core.prices import TokenCounts
from evalkit.judge.budgets import CircuitBreaker
from evalkit.judge.prices import PriceList
from tests.judge.test_openai import By, ask, quick
from tests.support.scripted_server import Asked, Play, reply
from tests.support.stub_judges import honest, replying

# The circuit breaker


def test_a_circuit_breaker_trips_after_failures_in_a_row_and_keeps_its_first_reason() -> None:
    breaker = CircuitBreaker(max_failures=3)
    for _ in range(5):
        breaker.record_failure("a")
        breaker.record_failure("b")
        breaker.record_success()
    assert breaker.trip_reason == ""
    for reason in ("a", "b", "c"):
        breaker.record_failure(reason)
    assert breaker.trip_reason == "3 calls in a row failed, the last because c"
    breaker.trip("too late")
    assert "too late" not in breaker.trip_reason


def test_waits_end_when_the_circuit_breaker_trips() -> None:
    async def live() -> None:
        breaker = CircuitBreaker()
        waiting = asyncio.ensure_future(breaker.wait(60))
        await asyncio.sleep(0)
        breaker.trip("over")
        await asyncio.wait_for(waiting, 1)

    asyncio.run(live())


# Money


def prices(model: str, url: str = "https://api.openai.com/v1", **given: float) -> PriceList:
    return PriceList(model=model, url=url, is_local="127." in url, set_prices=given)


def test_prices_of_the_set_override_all_others() -> None:
    listed = prices("gpt-4o", input=1.0, output=2.0)
    usage = TokenCounts(input_tokens=1_000_000, output_tokens=500_000)
    assert listed.compute_cost_usd(usage, "gpt-4o") == pytest.approx(2.0)


def test_a_reply_without_a_count_of_tokens_is_free_only_where_all_is_free() -> None:
    assert prices("m", input=1.0, output=2.0).compute_cost_usd(TokenCounts(), "m") is None
    assert prices("m", input=0.0, output=0.0).compute_cost_usd(TokenCounts(), "m") == 0
    assert prices("gpt-4o").compute_cost_usd(TokenCounts(), "gpt-4o") is None


def test_known_models_have_their_prices_and_what_was_cached_costs_less() -> None:
    listed = prices("gpt-4o")
    plain = listed.compute_cost_usd(
        TokenCounts(input_tokens=1000, output_tokens=100), "gpt-4o-2024-08-06"
    )
    cached = listed.compute_cost_usd(
        TokenCounts(input_tokens=1000, output_tokens=100, cached_tokens=900), "gpt-4o-2024-08-06"
    )
    assert plain is not None
    assert cached is not None
    assert 0 < cached < plain
    assert (
        listed.compute_cost_usd(TokenCounts(input_tokens=1000, output_tokens=100), "its-own-name")
        == plain
    )


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("nonsense", "https://api.openai.com/v1"),
        ("gpt-4o", "https://llm.example/v1"),
        ("gpt-4o", "http://127.0.0.1:8000/v1"),
    ],
)
def test_what_is_not_known_has_no_price(model: str, url: str) -> None:
    listed = prices(model, url)
    assert not listed.is_known
    assert listed.compute_cost_usd(TokenCounts(input_tokens=10), model) is None


# A storm

RETRY_AFTERS = ["0", "1", "30", "3600", "garbage", "Wed, 21 Oct 2015 07:28:00 GMT"]


def test_a_storm_of_rate_limits_ends_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.agents.retry.TRANSIENT_WAIT_S", 0.02)
    rng = random.Random(7)  # a storm that is the same every time
    fine = replying(honest)
    limited = []

    def choose(asked: Asked) -> Play:
        if rng.random() < 0.3:
            limited.append(asked)
            return reply("", status=429, headers={"Retry-After": rng.choice(RETRY_AFTERS)})
        return fine(asked)

    session = ask(By(choose), *quick(200), attempts=4, deadline_s=25.0, concurrency=20)
    states = [reading.state for reading in session.readings]
    lost = [reading for reading in session.readings if reading.state == "judge_error"]
    assert session.took_s < 25, "a wait of 30 s was started"
    assert session.judge.down_reason == ""
    assert states.count("scored") + len(lost) == 200
    assert states.count("scored") >= 150
    assert {reading.kind for reading in lost} == {"rate_limited"}
    assert all("Given up" in reading.problem for reading in lost)
    # Each call that was not lost sent one more request for every limit it met, and no other did.
    assert len(session.server.asked) == 200 + len(limited) - len(lost)
    assert len(session.server.asked) == sum(reading.calls for reading in session.readings)
    assert session.server.connections <= 20
