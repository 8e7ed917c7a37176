"""Runs at endpoints with rate limits, random failures, and outages, as whole commands.

`python tests/bench/weather.py` takes about six minutes. Ratios compare the time from the first to the
last request with the ideal: the calls at the limit, or the time of the plain script in
`plain_weather.py`, which makes the same calls with retries. Targets: at a limit at most 1.15, two runs
that share one at most 1.25, in random weather at most 1.3 of the plain script; at most 10 % of the
requests at a limit are refused; no call is lost, and none that was answered is made again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.measuring import evalkit_command, print_table, wants_quick
from tests.bench.weather_server import Log, Outage, RandomWeather, TokenBucket, Weather, serving

HERE = Path(__file__).parent

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer state what the reference states?
"""
CONTROLS = 6
"""Calls of a judge in addition to one for each case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Runs at an endpoint; `ideal_s` is None where the plain script is the measure."""

    name: str
    kind: str
    cases: int
    weather: Weather
    target: float | None
    ideal_s: float | None = None
    runs: int = 1
    max_refused: float | None = None


@dataclass(kw_only=True, slots=True)
class Result:
    """What the server and the commands have seen."""

    span_s: float
    codes: list[int]
    lost: int
    log: Log = field(repr=False)


def write_set(folder: Path, scenario: Scenario, url: str) -> None:
    """A set whose agent or judge is the endpoint."""
    folder.mkdir()
    if scenario.kind == "judge":
        agent = "{python: ./agent.py:answer}"
        rest = f"judge: {{openai: {{model: m1, base_url: {url}/v1}}}}\n"
        rest += "metrics: [{rubric: correctness.yaml}]\n"
    else:
        kind = (
            f"http: {url}/ask"
            if scenario.kind == "http"
            else f"openai: {{model: m1, base_url: {url}/v1}}"
        )
        agent, rest = f"{{{kind}, timeout_s: 3}}", "metrics: [contains]\n"
    cases = "".join(
        f"  - {{id: c{number}, input: question {number}, expected: Paris}}\n"
        for number in range(scenario.cases)
    )
    (folder / "set.yaml").write_text(f"agent: {agent}\nconcurrency: 16\n{rest}cases:\n{cases}")
    (folder / "correctness.yaml").write_text(RUBRIC)
    (folder / "agent.py").write_text("def answer(text):\n    return f'{text}: It is Paris.'\n")


def take(scenario: Scenario) -> Result:
    """Run a scenario once."""
    with tempfile.TemporaryDirectory() as name, serving(scenario.weather) as server:
        folders = [Path(name, f"run{number}") for number in range(scenario.runs)]
        for folder in folders:
            write_set(folder, scenario, server.url)
        command = evalkit_command("run", "set.yaml", "--format", "json")
        processes = [
            subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder in folders
        ]
        outputs = [process.communicate() for process in processes]
        codes = [process.returncode for process in processes]
        lost = sum(count_lost(folder) for folder in folders)
        if any(codes):
            print(*(errors for _, errors in outputs), file=sys.stderr)
        return Result(span_s=server.log.span_s, codes=codes, lost=lost, log=server.log)


def count_lost(folder: Path) -> int:
    """The trials without an answer or a score."""
    [trials] = folder.glob(".evalkit/runs/*/trials.jsonl")
    rows = [json.loads(line) for line in trials.read_text().splitlines()]
    last = {(row["case_id"], row["number"]): row for row in rows}
    return sum(
        bool(row["output"].get("error"))
        or any(score.get("state", "scored") != "scored" for score in row.get("scores", ()))
        for row in last.values()
    )


def time_plainly(scenario: Scenario) -> float:
    """The time that the plain script takes for the same calls in the same weather."""
    with serving(scenario.weather) as server:
        command = [sys.executable, str(HERE / "plain_weather.py"), f"{server.url}/ask"]
        subprocess.run([*command, str(scenario.cases), "16"], check=True)
        return server.log.span_s


def list_scenarios(*, quick: bool) -> Iterator[Scenario]:
    """Every weather; with `quick` a few calls of each."""
    slow, fast = (4, 6) if quick else (40, 150)
    for kind in ("judge", "http", "openai"):
        extra = CONTROLS if kind == "judge" else 0
        if not quick:
            yield Scenario(
                name=f"60/min, {kind}",
                kind=kind,
                cases=slow,
                weather=TokenBucket(1, 1),
                ideal_s=slow + extra,
                target=1.15,
                max_refused=0.1,
            )
        rate = 50 if quick else 5
        yield Scenario(
            name=f"5/s, {kind}",
            kind=kind,
            cases=fast,
            weather=TokenBucket(rate, 5),
            ideal_s=(fast + extra) / rate,
            target=1.15,
            max_refused=0.1,
        )
    each = 5 if quick else 75
    rate = 50 if quick else 5
    yield Scenario(
        name="5/s shared by two runs, judge",
        kind="judge",
        cases=each,
        runs=2,
        weather=TokenBucket(rate, 5),
        ideal_s=2 * (each + CONTROLS) / rate,
        target=1.25,
    )
    yield Scenario(
        name="random weather, http",
        kind="http",
        cases=5 if quick else 200,
        weather=RandomWeather(),
        target=1.3,
    )
    pause_s = 0.3 if quick else 20.0
    for how in ("503",) if quick else ("503", "500", "refused"):
        for kind in ("judge", "http"):
            yield Scenario(
                name=f"outage of {pause_s:g} s ({how}), {kind}",
                kind=kind,
                cases=8 if quick else 80,
                weather=Outage(how, after=3 if quick else 30, for_s=pause_s),
                target=None,
                ideal_s=pause_s,
            )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    rows = []
    for scenario in list_scenarios(quick=quick):
        # In random weather one turn may be lucky.
        turns = 1 if quick or scenario.ideal_s else 3
        ideal_s = scenario.ideal_s or median(time_plainly(scenario) for _ in range(turns))
        result = sorted((take(scenario) for _ in range(turns)), key=lambda one: one.span_s)[
            turns // 2
        ]
        rows.append(list_cells(scenario, result, ideal_s))
        print(rows[-1], file=sys.stderr)
        time.sleep(0.1)
    heads = ("weather", "ratio", "at most", "refused", "exit codes", "lost", "repeated", "good")
    print_table("Runs at endpoints with limits and failures", heads, rows)


def list_cells(scenario: Scenario, result: Result, ideal_s: float) -> tuple[str, ...]:
    """The cells of one row."""
    ratio = result.span_s / ideal_s
    log = result.log
    repeated = log.count_repeated(scenario.runs)
    is_good = not any(result.codes) and not result.lost and not repeated
    is_good &= scenario.target is None or ratio <= scenario.target
    is_good &= scenario.max_refused is None or log.refused_share <= scenario.max_refused
    return (
        scenario.name,
        f"{ratio:.2f}",
        f"{scenario.target or '-'}",
        f"{log.refused_share:.0%}",
        " ".join(map(str, result.codes)),
        f"{result.lost}",
        f"{repeated}",
        "yes" if is_good else "NO",
    )


if __name__ == "__main__":
    main()
