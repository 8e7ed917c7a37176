"""When waiting calls justify a further process, by a clock of the test's own."""

from __future__ import annotations

import heapq

import pytest

from evalkit.worker.demand import Demand

START_S = 0.4


def simulate(
    call_s: float, *, concurrency: int, seconds: float, pipe_s: float = 0.0003
) -> tuple[int, float]:
    """Serve calls that come as a run makes them: one ends, the next one waits.

    Return how many processes there are in the end, and when the last one was started.
    """
    demand = Demand(START_S)
    free, processes, waiting, last_start_s = 1, 1, concurrency, 0.0
    running: list[tuple[float, float]] = []  # (end, start)
    starting: list[float] = []
    now = 0.0
    while now < seconds:
        while free and waiting:
            free, waiting = free - 1, waiting - 1
            heapq.heappush(running, (now + call_s + pipe_s, now))
        demand.update(now, waiting, processes)
        while waiting > len(starting) and demand.is_due(now - begun for _, begun in running):
            demand.reset()
            processes, last_start_s = processes + 1, now
            heapq.heappush(starting, now + START_S)
        now = min([running[0][0] if running else seconds, *starting[:1], now + demand.wait_s])
        while running and running[0][0] <= now:
            _, begun = heapq.heappop(running)
            demand.record_call(call_s, now - begun)
            free, waiting = free + 1, waiting + 1
        while starting and starting[0] <= now:
            heapq.heappop(starting)
            free += 1
    return processes, last_start_s


@pytest.mark.parametrize("concurrency", [8, 50, 200])
def test_calls_that_take_no_time_need_one_process(concurrency: int) -> None:
    assert simulate(0.000_001, concurrency=concurrency, seconds=5)[0] == 1


@pytest.mark.parametrize("call_s", [0.02, 0.2, 2.0, 60.0])
def test_calls_that_take_time_get_a_process_each_soon(call_s: float) -> None:
    processes, last_start_s = simulate(call_s, concurrency=20, seconds=5)
    assert processes == 20
    assert last_start_s < 4 * START_S


def test_no_process_is_due_while_no_call_waits() -> None:
    assert simulate(1.0, concurrency=1, seconds=30)[0] == 1


def test_a_slow_call_after_many_fast_ones_makes_a_process_due() -> None:
    demand = Demand(START_S)
    for _ in range(1000):
        demand.record_call(0.0, 0.0003)
    demand.update(0.0, 7, 1)
    demand.update(10.0, 7, 1)
    assert not demand.is_due([0.001])
    assert demand.is_due([10.0])
