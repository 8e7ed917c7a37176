"""Measure the report of many stored spans, and the search for single requests: wall and CPU time.

    python -m tests.bench.traffic_report [SPANS]

Each command runs three times in a process of its own, and the fastest counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.traffic_import import measure_import, write_sample

COMMANDS = {
    "report": ("report", "bench"),
    "list": (
        *("list", "bench", "--version", "v3", "--tool", "get_order"),
        *("--failed", "--day", "2026-11-04"),
    ),
}
RUNS = 3


def measure_command(arguments: tuple[str, ...], root: Path) -> dict[str, float]:
    """Run a command of `evalkit traffic`, and return the times of the fastest run."""
    runs = []
    for _ in range(RUNS):
        before, started = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "evalkit", "traffic", *arguments],
            cwd=root,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall_s, after = time.perf_counter() - started, os.times()
        cpu_s = sum(after[2:4]) - sum(before[2:4])
        runs.append({"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)})
    return min(runs, key=lambda run: run["wall_s"])


def main() -> None:
    """Import a sample, run the commands, and print what they took."""
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        root = Path(folder)
        (root / "evalkit.yaml").write_text("agent: {recorded: none}\n")
        write_sample(root / "traces.jsonl", spans)
        measure_import(root / "traces.jsonl", root)
        found = {name: measure_command(given, root) for name, given in COMMANDS.items()}
    print(json.dumps({"spans": spans, **found}))


if __name__ == "__main__":
    main()
