"""CPU and memory that `evalkit run` itself needs per case, with an agent that costs nothing.

The run is the main job: load, ask, score, store, compare with a baseline of the same size, decide.
CPU is that of evalkit and of every process it started and waited for; `promote` is that of
`evalkit baseline --from`, which made the run before it the baseline. Between two sizes the slope
is the cost of one more case; start-up is left behind. Target: below 1 ms.

Memory is the resident peak of the largest process, which is evalkit's own. Its slope is compared
with the records: what the loaded eval set, the trials of the run and the baseline take as Python
objects, counted by tracemalloc in a process of its own. Target: less than 1 kB per case more.

Deciding again what is stored is measured in another: the CPU of one decision. Target: 150 ms.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.bench.measuring import evalkit_command, measure, print_table, wants_quick

SIZES = (200, 2_000, 20_000)
TURNS = {200: 5, 2_000: 3}
CPU_TARGET_MS = 1.0
MEMORY_TARGET_KB = 1.0
DECIDING_TARGET_MS = 150.0
REPOSITORY = Path(__file__).parents[2]

AGENT = """
def answer(text):
    return text.upper()
"""

HEAD = """
agent: {python: ./agent.py:answer}
metrics: [exact_match]
gate:
  - {metric: exact_match, max_drop: 0.02}
"""

COUNT_RECORDS = """
import gc, sys, tracemalloc
from pathlib import Path
from evalkit.store.baseline import baseline_path, read_baseline
from evalkit.evalset.loader import load_evalset
from evalkit.store.runs import read_run

path = Path(sys.argv[1]).resolve()
tracemalloc.start()
evalset, problems = load_evalset(path, root=path.parent)
baseline = read_baseline(baseline_path(path, evalset.name))
trials = read_run(Path(sys.argv[2])).trials
gc.collect()
assert not problems and len(trials) == len(baseline.trials) == len(evalset.cases)
print(tracemalloc.get_traced_memory()[0])
"""

TIME_DECISIONS = """
import time
from statistics import median
from evalkit.gate.decide import decide_gate
from tests.support.run_samples import large_decision

rules, candidate, base = large_decision()
assert len(rules) == 5
took = []
for _ in range(9):
    start = time.process_time()
    decide_gate(rules, candidate, base, max_errors=0, on_inconclusive="pass")
    took.append(time.process_time() - start)
print(1000 * median(took))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one size of set cost."""

    cases: int
    cpu_s: float
    peak_bytes: int
    record_bytes: int
    promote_cpu_s: float


def write_yaml_set(folder: Path, cases: Sequence[dict[str, str]]) -> str:
    """A set with all its cases inside; gives its name."""
    lines = [f"  - {{{', '.join(f'{key}: {value}' for key, value in c.items())}}}" for c in cases]
    name = f"inline-{len(cases)}.yaml"
    (folder / name).write_text(HEAD + "cases:\n" + "\n".join(lines) + "\n")
    return name


def write_jsonl_set(folder: Path, cases: Sequence[dict[str, str]]) -> str:
    """A set that names a file with its cases; gives its name."""
    rows = f"cases-{len(cases)}.jsonl"
    (folder / rows).write_text("".join(json.dumps(case) + "\n" for case in cases))
    name = f"rows-{len(cases)}.yaml"
    (folder / name).write_text(HEAD + f"cases: {rows}\n")
    return name


WRITERS = {"JSONL": write_jsonl_set, "YAML": write_yaml_set}


def make_cases(count: int) -> list[dict[str, str]]:
    """Cases of a size that people write, all of which the agent gets right."""
    question = "how long does question {} take to be answered by somebody who knows"
    texts = [question.format(number) for number in range(count)]
    return [
        {"id": f"case-{number:06d}", "input": text, "expected": text.upper()}
        for number, text in enumerate(texts)
    ]


def measure_size(folder: Path, evalset: str, cases: int) -> Row:
    """Run one set several times; the median of its CPU, the largest of its peaks."""
    command = evalkit_command("run", evalset)
    measure([*command, "--allow-missing-baseline"], folder)  # compiles
    promoted = measure(evalkit_command("baseline", evalset, "--from", "latest"), folder)
    costs = [measure(command, folder) for _ in range(TURNS.get(cases, 1))]
    newest = max((folder / ".evalkit" / "runs").iterdir())
    counted = measure([sys.executable, "-c", COUNT_RECORDS, evalset, str(newest)], folder)
    return Row(
        cases=cases,
        cpu_s=median(cost.cpu_s for cost in costs),
        peak_bytes=max(cost.peak_bytes for cost in costs),
        record_bytes=int(counted.output),
        promote_cpu_s=promoted.cpu_s,
    )


def print_rows(kind: str, rows: Sequence[Row]) -> None:
    """Print what each size cost, then what one more case costs between two sizes."""
    print_table(
        f"Whole runs, cases in {kind}",
        ("cases", "CPU s", "CPU ms per case", "peak MB", "records MB", "promote CPU s"),
        [
            (
                f"{row.cases:,}",
                f"{row.cpu_s:.2f}",
                f"{1000 * row.cpu_s / row.cases:.2f}",
                f"{row.peak_bytes / 1e6:.1f}",
                f"{row.record_bytes / 1e6:.1f}",
                f"{row.promote_cpu_s:.2f}",
            )
            for row in rows
        ],
    )
    slopes = []
    for small, large in pairwise(rows):
        more = large.cases - small.cases
        cpu_ms = 1000 * (large.cpu_s - small.cpu_s) / more
        peak_kb = (large.peak_bytes - small.peak_bytes) / more / 1000
        record_kb = (large.record_bytes - small.record_bytes) / more / 1000
        beyond_kb = peak_kb - record_kb
        promote_ms = 1000 * (large.promote_cpu_s - small.promote_cpu_s) / more
        slopes.append(
            (
                f"{small.cases:,} to {large.cases:,}",
                f"{cpu_ms:.2f}",
                f"{cpu_ms / CPU_TARGET_MS:.2f}",
                f"{promote_ms:.2f}",
                f"{peak_kb:.2f}",
                f"{record_kb:.2f}",
                f"{beyond_kb:.2f}",
                f"{beyond_kb / MEMORY_TARGET_KB:.2f}",
            )
        )
    heads = (
        "between",
        "CPU ms",
        "of target",
        "promote ms",
        "peak kB",
        "records kB",
        "beyond kB",
        "of target",
    )
    print_table(f"One more case, cases in {kind}", heads, slopes)


def print_deciding() -> None:
    """Print what the median decision costs, of a run of 200 cases with five thresholds."""
    cost_ms = float(measure([sys.executable, "-c", TIME_DECISIONS], REPOSITORY).output)
    print_table(
        "Deciding a stored run",
        ("what", "CPU ms", "of target"),
        [
            (
                "200 cases, 10 and 3 trials, 5 thresholds",
                f"{cost_ms:.1f}",
                f"{cost_ms / DECIDING_TARGET_MS:.2f}",
            )
        ],
    )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    print_deciding()
    sizes = (10, 20) if quick else SIZES
    writers = {"JSONL": write_jsonl_set} if quick else WRITERS
    for kind, write_set in writers.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "agent.py").write_text(AGENT)
            # One size after the other, for the memory of this process shows in what it starts.
            rows = [
                measure_size(folder, write_set(folder, make_cases(size)), size) for size in sizes
            ]
        print_rows(kind, rows)


if __name__ == "__main__":
    main()
