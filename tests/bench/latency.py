"""Wall time of a run whose agent makes it wait, against the ideal and against plain scripts.

Ideal is cases / concurrency x latency. A run is taken apart where the agent saw its first call and
where it gave its last answer: start-up before, calls between, wind-down after. Target: the calls
take at most 5 % more than the ideal. The plain scripts make the same calls to the same server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.measuring import Cost, evalkit_command, measure, print_table, wants_quick

TARGET = 1.05
HERE = Path(__file__).parent

PYTHON_AGENT = """
import asyncio, os, time
from pathlib import Path

LOG = os.open(Path(__file__).with_name("calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def log(came_s):
    os.write(LOG, f"{came_s} {time.monotonic()}\\n".encode())
    return "ok"


def wait(text):
    came_s = time.monotonic()
    time.sleep(PAUSE_S)
    return log(came_s)


async def wait_async(text):
    came_s = time.monotonic()
    await asyncio.sleep(PAUSE_S)
    return log(came_s)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How many calls there are, how many at once, and how long each takes."""

    calls: int
    concurrency: int
    pause_s: float

    @property
    def ideal_s(self) -> float:
        """The least time in which all calls can be made."""
        return self.calls / self.concurrency * self.pause_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """One command, taken apart at the first call and the last answer."""

    total_s: float
    startup_s: float
    calls_s: float
    cpu_s: float

    @property
    def wind_down_s(self) -> float:
        """From the last answer to the end of the process."""
        return self.total_s - self.startup_s - self.calls_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A command, and how to learn afterwards when its calls were."""

    name: str
    command: list[str]
    read_span: Callable[[], tuple[float, float]]


@contextlib.contextmanager
def sleeping_server(pause_s: float) -> Iterator[str]:
    """A server in a process of its own; yields its URL."""
    command = [sys.executable, str(HERE / "sleeping_server.py"), str(pause_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def read_server_span(url: str) -> tuple[float, float]:
    """Ask the server when calls came since it was last asked."""
    with urllib.request.urlopen(f"{url}/span") as response:
        first, last = json.load(response)
    return first, last


def read_logged_span(log: Path) -> tuple[float, float]:
    """When the calls to a Python agent came; forgets them."""
    calls = [[float(word) for word in line.split()] for line in log.read_text().splitlines()]
    log.write_text("")
    return min(came for came, _ in calls), max(answered for _, answered in calls)


def write_set(folder: Path, name: str, agent: str, load: Load) -> str:
    """Write an eval set with as many cases as there are calls."""
    cases = (f"  - {{id: c{n}, input: question {n}, expected: ok}}" for n in range(load.calls))
    head = f"agent: {{{agent}}}\nconcurrency: {load.concurrency}\nmetrics: [exact_match]\ncases:\n"
    (folder / f"{name}.yaml").write_text(head + "\n".join(cases) + "\n")
    return f"{name}.yaml"


def contestants(folder: Path, url: str, load: Load) -> list[Contestant]:
    """Plain scripts by every HTTP library there is, then evalkit with every agent."""
    (folder / "agent.py").write_text(f"PAUSE_S = {load.pause_s}\n{PYTHON_AGENT}")
    plain = [sys.executable, str(HERE / "plain_client.py")]
    sizes = [str(load.calls), str(load.concurrency)]
    libraries = [name for name in ("aiohttp", "httpx", "httpx2") if importlib.util.find_spec(name)]
    agents = {
        "http": f"http: {{url: {url}, output: output}}",
        "python async": "python: ./agent.py:wait_async",
        # The processes of a sync agent start during the calls; workers.py measures them.
        "python threads": "python: {entrypoint: ./agent.py:wait, threads: true}",
    }

    def from_server() -> tuple[float, float]:
        return read_server_span(url)

    def from_log() -> tuple[float, float]:
        return read_logged_span(folder / "calls")

    return [
        *(
            Contestant(
                name=f"plain {library}",
                command=[*plain, library, url, *sizes],
                read_span=from_server,
            )
            for library in libraries
        ),
        *(
            Contestant(
                name=f"evalkit, {name} agent",
                command=evalkit_command(
                    "run", write_set(folder, name.replace(" ", "-"), agent, load)
                ),
                read_span=from_server if name == "http" else from_log,
            )
            for name, agent in agents.items()
        ),
    ]


def take_apart(cost: Cost, span: tuple[float, float]) -> Timing:
    """Split what a command took by when its calls were."""
    first_s, last_s = span
    return Timing(
        total_s=cost.wall_s,
        startup_s=first_s - cost.started_s,
        calls_s=last_s - first_s,
        cpu_s=cost.cpu_s,
    )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    load = Load(calls=200, concurrency=20, pause_s=0.2)
    if quick:
        load = Load(calls=10, concurrency=5, pause_s=0.02)
    turns: dict[str, list[Timing]] = {}
    with tempfile.TemporaryDirectory() as name, sleeping_server(load.pause_s) as url:
        rivals = contestants(Path(name), url, load)
        for _ in range(1 if quick else 5):
            for rival in rivals:
                cost = measure(rival.command, Path(name))
                timing = take_apart(cost, rival.read_span())
                turns.setdefault(rival.name, []).append(timing)
    print_turns(load, turns)


def print_turns(load: Load, turns: Mapping[str, Sequence[Timing]]) -> None:
    """Print the median of every contestant; ratios to the plain script are taken turn by turn."""
    plain = turns["plain aiohttp"]
    rows = []
    for name, timings in turns.items():
        calls_ratio = median(timing.calls_s for timing in timings) / load.ideal_s
        pairs = list(zip(timings, plain, strict=True))
        rows.append(
            (
                name,
                f"{median(timing.total_s for timing in timings):.2f}",
                f"{median(timing.startup_s for timing in timings):.2f}",
                f"{median(timing.calls_s for timing in timings):.3f}",
                f"{median(timing.wind_down_s for timing in timings):.2f}",
                f"{calls_ratio:.3f}",
                "yes" if calls_ratio <= TARGET else "NO",
                f"{median(own.calls_s / other.calls_s for own, other in pairs):.3f}",
                f"{median(own.total_s / other.total_s for own, other in pairs):.2f}",
                f"{1000 * median(timing.cpu_s for timing in timings):.0f}",
            )
        )
    print_table(
        f"{load.calls} calls of {load.pause_s:g} s, {load.concurrency} at once: "
        f"ideal {load.ideal_s:g} s, median of {len(plain)} turns",
        (
            "command",
            "total s",
            "start-up s",
            "calls s",
            "wind-down s",
            "calls / ideal",
            f"at most {TARGET}",
            "calls / plain",
            "total / plain",
            "CPU ms",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
