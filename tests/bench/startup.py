"""CPU time of `evalkit --version` and `--help`, as ratios to a bare typer program.

The three commands take turns, so that whatever else the machine does weighs on all of them alike;
the ratio is the median of the turns' ratios. Target: at most 1.5.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench.measuring import evalkit_command, measure, print_table, wants_quick

TARGET = 1.5
ROUNDS = 25

# As an installer writes a console script: the module has bytecode, the script only starts it.
HELLO_MODULE = """
import typer

app = typer.Typer()


@app.command()
def hello(name: str = "world") -> None:
    typer.echo(f"Hello {name}")
"""
HELLO_SCRIPT = """
import sys

from hello import app

sys.exit(app())
"""


def main() -> None:
    """Measure and print."""
    rounds = 3 if wants_quick(__doc__) else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO_MODULE)
        (folder / "start.py").write_text(HELLO_SCRIPT)
        commands = {
            "bare typer hello": [sys.executable, "start.py"],
            "evalkit --version": evalkit_command("--version"),
            "evalkit --help": evalkit_command("--help"),
        }
        for command in commands.values():
            measure(command, folder)  # compiles
        turns = [
            {label: measure(command, folder).cpu_s for label, command in commands.items()}
            for _ in range(rounds)
        ]
    rows = []
    for label in commands:
        ratio = median(turn[label] / turn["bare typer hello"] for turn in turns)
        verdict = "" if label == "bare typer hello" else "yes" if ratio <= TARGET else "NO"
        cpu_ms = 1000 * median(turn[label] for turn in turns)
        rows.append((label, f"{cpu_ms:.0f}", f"{ratio:.2f}", verdict))
    print_table(
        f"Start-up, median of {rounds} turns",
        ("command", "CPU ms", "ratio", f"at most {TARGET}"),
        rows,
    )


if __name__ == "__main__":
    main()
