"""Processes of sync agents: how many start, how near a run gets to the ideal, and what they cost.

A sync function runs one call at a time in each process, and processes start while calls wait. Ideal is
calls / concurrency x time of a call. "All calls" counts from the first call to the last answer, "once
started" from the first call of the last process. Targets: an agent that takes no time has one process,
and one of 200 ms takes at most 1.3 of the ideal once started.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.measuring import Cost, evalkit_command, measure, print_table, wants_quick

TARGET = 1.3

AGENT = """
import asyncio, os, time
from pathlib import Path

import psutil

LOG = os.open(Path(__file__).with_name("calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
OWN_BYTES = psutil.Process().memory_full_info().uss


def log(came_s):
    os.write(LOG, f"{os.getpid()} {came_s} {time.monotonic()} {OWN_BYTES}\\n".encode())
    return "ok"


def answer(text):
    came_s = time.monotonic()
    time.sleep(PAUSE_S) if PAUSE_S else None
    return log(came_s)


async def answer_async(text):
    came_s = time.monotonic()
    await asyncio.sleep(PAUSE_S)
    return log(came_s)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How an agent is called; `agent` is what follows `python:` in the eval set."""

    name: str
    agent: str
    pause_s: float
    calls: int
    concurrency: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One run. `own_bytes` is the memory of all processes that would be free without them."""

    processes: int
    all_ratio: float
    started_ratio: float
    total_s: float
    cpu_s: float
    own_bytes: float


def list_loads(calls: int) -> list[Load]:
    """The same waits in processes, threads, and tasks; then shorter ones."""
    sync, threads = "./agent.py:answer", "{entrypoint: ./agent.py:answer, threads: true}"
    return [
        Load(name="sync, 0.2 s", agent=sync, pause_s=0.2, calls=calls),
        Load(name="threads, 0.2 s", agent=threads, pause_s=0.2, calls=calls),
        Load(name="async, 0.2 s", agent="./agent.py:answer_async", pause_s=0.2, calls=calls),
        Load(name="sync, 0.02 s", agent=sync, pause_s=0.02, calls=5 * calls),
        Load(name="sync, no time", agent=sync, pause_s=0.0, calls=10 * calls),
        Load(name="threads, no time", agent=threads, pause_s=0.0, calls=10 * calls),
    ]


def run(folder: Path, load: Load) -> Result:
    """Run an eval set with as many cases as there are calls, and read the agent's log."""
    (folder / "agent.py").write_text(f"PAUSE_S = {load.pause_s}\n{AGENT}")
    (folder / "calls").unlink(missing_ok=True)
    cases = (f"  - {{id: c{n}, input: question {n}, expected: ok}}" for n in range(load.calls))
    (folder / "set.yaml").write_text(
        f"agent: {{python: {load.agent}}}\nconcurrency: {load.concurrency}\n"
        "metrics: [exact_match]\ncases:\n" + "\n".join(cases) + "\n"
    )
    cost = measure(evalkit_command("run", "set.yaml", "--trials", "1"), folder)
    return read_log(folder / "calls", load, cost)


def read_log(log: Path, load: Load, cost: Cost) -> Result:
    """Take the calls apart at the first call of the last process."""
    calls = sorted(
        (float(came), float(answered), int(pid), float(own_bytes))
        for pid, came, answered, own_bytes in (
            line.split() for line in log.read_text().splitlines()
        )
    )
    ended_s = max(answered for _, answered, _, _ in calls)
    first_calls: dict[int, float] = {}
    for came_s, _, pid, _ in calls:
        first_calls.setdefault(pid, came_s)

    def ratio_since(start_s: float) -> float:
        # What was already running then counts by its remaining time.
        work_s = sum(
            answered - max(came, start_s) for came, answered, *_ in calls if answered > start_s
        )
        return (ended_s - start_s) * load.concurrency / work_s

    return Result(
        processes=len(first_calls),
        all_ratio=ratio_since(calls[0][0]),
        started_ratio=ratio_since(max(first_calls.values())),
        total_s=cost.wall_s,
        cpu_s=cost.cpu_s,
        own_bytes=sum({pid: own_bytes for *_, pid, own_bytes in calls}.values()),
    )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    with tempfile.TemporaryDirectory() as name:
        results: dict[Load, list[Result]] = {load: [] for load in list_loads(40 if quick else 200)}
        for _ in range(1 if quick else 3):
            for load, turns in results.items():
                turns.append(run(Path(name), load))
    print_results(results)


def print_results(results: dict[Load, list[Result]]) -> None:
    """Print the median of every load."""

    def middle(turns: Sequence[Result], field: str) -> float:
        return float(median(getattr(turn, field) for turn in turns))

    print_table(
        f"Calls, {next(iter(results)).concurrency} at once",
        (
            "agent",
            "calls",
            "processes",
            "all calls / ideal",
            "once started",
            f"at most {TARGET}",
            "total s",
            "CPU ms",
            "own memory MB",
        ),
        [
            (
                load.name,
                str(load.calls),
                f"{middle(turns, 'processes'):.0f}",
                f"{middle(turns, 'all_ratio'):.2f}" if load.pause_s else "",
                f"{(started := middle(turns, 'started_ratio')):.2f}" if load.pause_s else "",
                ("yes" if started <= TARGET else "NO") if load.pause_s else "",
                f"{middle(turns, 'total_s'):.2f}",
                f"{1000 * middle(turns, 'cpu_s'):.0f}",
                f"{middle(turns, 'own_bytes') / 1e6:.0f}",
            )
            for load, turns in results.items()
        ],
    )


if __name__ == "__main__":
    main()
