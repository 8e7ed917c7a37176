"""Runs commands and tells what each cost; prints what was found as a Markdown table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A process that is started counts its starter's peak into its own until it has replaced the image,
# so this module imports little: its peak must stay below that of anything it measures.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one command cost, with all the processes that it and its children waited for.

    `peak_bytes` is the resident peak of the largest of these processes. `started_s` is the reading of
    the monotonic clock, which all processes share, at the start.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int
    started_s: float
    output: str

    @property
    def ended_s(self) -> float:
        """The reading of the monotonic clock at the end."""
        return self.started_s + self.wall_s


def measure(command: Sequence[str | Path], cwd: Path, accepted: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end; any exit code but the accepted ones ends the benchmark."""
    environ = {name: value for name, value in os.environ.items() if name not in _SLOWING}
    with tempfile.TemporaryFile() as output:
        started_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode not in accepted:
        shown = " ".join(str(word) for word in command)
        sys.exit(f"{shown}\nexit code {process.returncode}\n{text}")
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=wall_s,
        peak_bytes=usage.ru_maxrss * _RSS_UNIT,
        started_s=started_s,
        output=text,
    )


_SLOWING = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONDEVMODE", "PYTHONTRACEMALLOC"})
"""Would have every process compile, or count, what users' processes do not."""


def evalkit_command(*arguments: str) -> list[str]:
    """The command line of evalkit, as the console script installed beside this Python."""
    return [str(Path(sys.executable).with_name("evalkit")), *arguments]


def wants_quick(description: str | None) -> bool:
    """Read the command line: `--quick` is a small run that shows that the script works."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a small run; its numbers mean little")
    return bool(parser.parse_args().quick)


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    print("", f"**{title}**", "", line(heads), line(rule), *(line(row) for row in rows), sep="\n")
