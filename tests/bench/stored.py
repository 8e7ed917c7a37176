"""What reading large stored runs costs: CPU of 10,000 cases, memory of long answers, a page of changes.

Each command runs on a stored run with a baseline in which every answer differs. CPU is that beyond the
same command on a run of one case. Memory is the resident peak beyond it; 1 is what the run and the
baseline have stored. Targets: `show` and `gate` of 10,000 cases of 1 kB take less than 1.5 s more, and
no command on 200 answers of 1 MB takes more than twice the memory of what is stored.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring import Cost, evalkit_command, measure, print_table, wants_quick

CPU_TARGET_S = 1.5
MEMORY_TARGET = 2.0
SIZES = {"10,000 answers of 1 kB": (10_000, 1_000), "200 answers of 1 MB": (200, 1_000_000)}
QUICK_SIZES = {"10,000 answers of 1 kB": (10, 1_000), "200 answers of 1 MB": (2, 10_000)}
COMMANDS = {
    "show": ("show", "r"),
    "show of one case": ("show", "r", "case-0"),
    "gate": ("gate", "r"),
    "diff": ("diff", "baseline", "r"),
    "report --html": ("report", "r", "--html", "page.html"),
}

AGENT = """
from pathlib import Path

WORD = Path("word.txt").read_text()

def answer(text):
    number, size = text.split()
    return f"yes {number} " + f"{WORD} of the answer " * (int(size) // (len(WORD) + 15))
"""
EVALSET = """
evalset: s
agent: {python: ./agent.py:answer}
metrics: [contains]
gate: [{metric: contains, max_drop: 0.02}]
cases: cases.jsonl
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A project with a run `r` and a baseline."""

    folder: Path
    stored_bytes: int

    def measure(self, command: tuple[str, ...]) -> Cost:
        """Run a command."""
        return measure(evalkit_command(*command), self.folder)


def store_project(folder: Path, cases: int, size: int) -> Stored:
    """Record a baseline, then run again with other words in every answer."""
    folder.mkdir()
    rows = [{"id": f"case-{n}", "input": f"{n} {size}", "expected": "yes"} for n in range(cases)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "s.yaml").write_text(EVALSET)
    (folder / "agent.py").write_text(AGENT)
    (folder / "word.txt").write_text("word")
    measure(evalkit_command("baseline", "s.yaml", "--trials", "1"), folder)
    (folder / "word.txt").write_text("WORDS")
    measure(evalkit_command("run", "s.yaml", "--run-id", "r"), folder)
    files = (folder / ".evalkit/runs/r/trials.jsonl", folder / "baselines/s.jsonl")
    return Stored(folder=folder, stored_bytes=sum(path.stat().st_size for path in files))


def main() -> None:
    """Measure and print."""
    sizes = QUICK_SIZES if wants_quick(__doc__) else SIZES
    with tempfile.TemporaryDirectory() as name:
        tiny = store_project(Path(name) / "tiny", 1, 1_000)
        tiny.measure(COMMANDS["report --html"])  # compiles
        started = {label: tiny.measure(command) for label, command in COMMANDS.items()}
        for number, (title, size) in enumerate(sizes.items()):
            stored = store_project(Path(name) / str(number), *size)
            rows = []
            for label, command in COMMANDS.items():
                cost = stored.measure(command)
                cpu_s = cost.cpu_s - started[label].cpu_s
                more_bytes = cost.peak_bytes - started[label].peak_bytes
                share = more_bytes / stored.stored_bytes
                rows.append(
                    (
                        label,
                        f"{cpu_s:.2f}",
                        f"{cpu_s / CPU_TARGET_S:.2f}",
                        f"{more_bytes / 1e6:.0f}",
                        f"{share:.2f}",
                        f"{share / MEMORY_TARGET:.2f}",
                    )
                )
            heads = ("command", "CPU s", "of target", "more MB", "of what is stored", "of target")
            print_table(title, heads, rows)


if __name__ == "__main__":
    main()
