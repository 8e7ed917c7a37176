"""Wall time of a judged run as a whole command, against a plain script on the openai client.

Agent and judge each take 200 ms, and 20 of each are at work at once. The plain script makes the same calls
to the same server, every judge call as soon as its answer is there. Both are whole commands, the import of
the client in them. Target: evalkit takes at most 5 % more; it asks the judge once for every case, beside
the known answers by which the judge is checked; and judging the same outputs again asks nobody. The last
of these answers are asked after all others, so that one call's time more is evalkit's due and not counted.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from evalkit.core.rubric import Rubric
from evalkit.judge.control_watch import bound_controls
from tests.bench.measuring import evalkit_command, measure, print_table, wants_quick

TARGET = 1.05
HERE = Path(__file__).parent
AGENTS = ("python", "http")

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer state what the reference states?
"""

PYTHON_AGENT = """
import asyncio


async def answer(text):
    await asyncio.sleep(PAUSE_S)
    return f"{text}: The capital is Paris."
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How many cases there are, how many calls of each kind at once, and how long each takes."""

    calls: int
    concurrency: int
    pause_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One run of evalkit, with the run of the plain script beside it."""

    own_s: float
    plain_s: float
    cpu_s: float
    plain_cpu_s: float
    judge_calls: int
    again_calls: int


@contextlib.contextmanager
def judging_server(pause_s: float) -> Iterator[str]:
    """An agent and a judge in a process of their own; yields their URL."""
    command = [sys.executable, str(HERE / "judging_server.py"), str(pause_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def count_asked(url: str) -> dict[str, int]:
    """How often agent and judge were asked since this was last asked."""
    with urllib.request.urlopen(f"{url}/span") as response:
        asked: dict[str, int] = json.load(response)
    return asked


def write_set(folder: Path, agent: str, url: str, load: Load) -> None:
    """A set of as many cases as there are calls, each with answers of its own."""
    entry = "{python: ./agent.py:answer}" if agent == "python" else f"{{http: {url}/ask}}"
    head = f"""
agent: {entry}
concurrency: {load.concurrency}
judge: {{openai: {{model: m1, base_url: {url}/v1}}, concurrency: {load.concurrency}}}
metrics: [{{rubric: correctness.yaml}}]
cases:
"""
    cases = (f"  - {{id: c{n}, input: question {n}, expected: Paris}}" for n in range(load.calls))
    (folder / "set.yaml").write_text(head + "\n".join(cases) + "\n")
    (folder / "correctness.yaml").write_text(RUBRIC)
    (folder / "agent.py").write_text(PYTHON_AGENT.replace("PAUSE_S", str(load.pause_s)))


def take_turn(agent: str, url: str, load: Load) -> Turn:
    """Run both commands, and evalkit's once more on the outputs it has judged."""
    plain = [sys.executable, str(HERE / "plain_judge.py"), agent, url]
    plain += [str(load.calls), str(load.concurrency), str(load.pause_s)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder, agent, url, load)
        other = measure(plain, folder)
        count_asked(url)
        own = measure(evalkit_command("run", "set.yaml"), folder)
        asked = count_asked(url)
        measure(evalkit_command("run", "set.yaml"), folder)
        again = count_asked(url)
    controls = bound_controls(Rubric(name="", path="", needs=("reference",)), load.calls, 0)
    return Turn(
        own_s=own.wall_s - load.pause_s,
        plain_s=other.wall_s,
        cpu_s=own.cpu_s,
        plain_cpu_s=other.cpu_s,
        judge_calls=asked["judge"] - controls.expected,
        again_calls=again["judge"],
    )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    load = Load(calls=200, concurrency=20, pause_s=0.2)
    if quick:
        load = Load(calls=10, concurrency=5, pause_s=0.02)
    with judging_server(load.pause_s) as url:
        turns: dict[str, list[Turn]] = {agent: [] for agent in AGENTS}
        for _ in range(1 if quick else 5):
            for agent in AGENTS:
                turns[agent].append(take_turn(agent, url, load))
    print_turns(load, turns)


def print_turns(load: Load, turns: dict[str, list[Turn]]) -> None:
    """Print the median of every kind of agent; ratios to the plain script are of the medians."""
    rows = [(f"{agent} agent", *_cells(each)) for agent, each in turns.items()]
    print_table(
        f"{load.calls} judged cases, {load.pause_s:g} s each for agent and judge, "
        f"{load.concurrency} at once: median of {len(turns[AGENTS[0]])} turns",
        (
            "evalkit run",
            "total s",
            "plain s",
            "ratio",
            f"at most {TARGET}",
            "CPU s",
            "plain CPU s",
            "judge calls",
            "calls again",
        ),
        rows,
    )


def _cells(turns: Sequence[Turn]) -> tuple[str, ...]:
    own_s = median(turn.own_s for turn in turns)
    plain_s = median(turn.plain_s for turn in turns)
    return (
        f"{own_s:.2f}",
        f"{plain_s:.2f}",
        f"{own_s / plain_s:.3f}",
        "yes" if own_s / plain_s <= TARGET else "NO",
        f"{median(turn.cpu_s for turn in turns):.2f}",
        f"{median(turn.plain_cpu_s for turn in turns):.2f}",
        f"{max(turn.judge_calls for turn in turns)}",
        f"{max(turn.again_calls for turn in turns)}",
    )


if __name__ == "__main__":
    main()
