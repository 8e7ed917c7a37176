"""Every benchmark runs to its end and prints a table of what it measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.judge_controls import ANSWERS, DECAYS, KINDS, RATES
from tests.support.paths import TESTS

pytestmark = pytest.mark.slow

BENCH = TESTS / "bench"

TABLES = {
    "startup": [["bare typer hello", "evalkit --version", "evalkit --help"]],
    "overhead": [
        ["200 cases, 10 and 3 trials, 5 thresholds"],
        ["10", "20"],
        ["10 to 20"],
    ],
    "judging": [["python agent", "http agent"]],
    "weather": [
        [
            "5/s, judge",
            "5/s, http",
            "5/s, openai",
            "5/s shared by two runs, judge",
            "random weather, http",
            *(f"outage of 0.3 s (503), {kind}" for kind in ("judge", "http")),
        ]
    ],
    "traces": [
        [
            "evalkit.span",
            "OpenTelemetry SDK, with its own cost",
            "OTLP, protobuf",
            "OTLP, JSON with gzip",
        ],
        [
            "failing, version v3, tool refund_order",
            "the same with error Timeout, slower than 1 s",
            "one user's failing traces",
            "SQL over all spans",
            "SQL over all trials",
        ],
    ],
    "stored": [
        ["show", "show of one case", "gate", "diff", "report --html"],
        ["show", "show of one case", "gate", "diff", "report --html"],
    ],
    "latency": [
        [
            "plain aiohttp",
            "evalkit, http agent",
            "evalkit, python async agent",
            "evalkit, python threads agent",
        ]
    ],
    "judge_controls": [
        [f"{kind}, {rate:.0%}" for kind in KINDS for rate in RATES],
        [f"{name}, {answers} answers" for name in DECAYS for answers in ANSWERS],
    ],
    "workers": [
        [
            "sync, 0.2 s",
            "threads, 0.2 s",
            "async, 0.2 s",
            "sync, 0.02 s",
            "sync, no time",
            "threads, no time",
        ]
    ],
}
"""The rows of each table of each benchmark; plain scripts by other libraries may come on top."""


CALIBRATION_COLUMNS = 13


def read_tables(markdown: str) -> list[list[list[str]]]:
    """The cells of every Markdown table in a text, without head and rule."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", markdown, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
        for block in blocks
    ]


def run_quickly(name: str, tmp_path: Path) -> str:
    done = subprocess.run(
        [sys.executable, BENCH / f"{name}.py", "--quick"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    return done.stdout


@pytest.mark.parametrize("name", TABLES)
def test_a_benchmark_prints_its_table(name: str, tmp_path: Path) -> None:
    tables = read_tables(run_quickly(name, tmp_path))
    labels = [[row[0] for row in table if "httpx" not in row[0]] for table in tables]
    assert labels == TABLES[name]
    for table in tables:
        for row in table:
            assert re.fullmatch(r"-?\d[\d.]*", row[1]), row


def test_the_calibration_of_the_gate_prints_one_table_of_every_kind_of_change(
    tmp_path: Path,
) -> None:
    (table,) = read_tables(run_quickly("gate_calibration", tmp_path))
    kinds = {re.sub(r".* K=(\S+) (\w+).*", r"\1 \2", row[0]) for row in table}
    changes = ("unchanged", "diffuse", "concentrated", "churn")
    assert kinds >= {f"{trials} {change}" for trials in (1, 3, "auto") for change in changes}
    for row in table:
        assert len(row) == CALIBRATION_COLUMNS
        # Each share has its standard error.
        assert sum(float(cell.split(" ± ")[0]) for cell in row[2:5]) == pytest.approx(100), row


def test_the_calibration_of_graded_scores_prints_a_table_of_every_question(tmp_path: Path) -> None:
    changes, users, clusters, shapes = read_tables(run_quickly("gate_calibration_graded", tmp_path))
    assert {row[1] for row in changes} == {"unchanged", "diffuse", "concentrated"}
    for row in changes:
        assert sum(float(cell.split()[0]) for cell in row[2:5]) == pytest.approx(100, abs=0.2), row
    for table in (users, clusters, shapes):
        assert len({row[0] for row in table}) == len(table) >= 10
        for row in table:
            assert re.fullmatch(r"\d+\.\d ±\d+\.\d", row[1]), row


def test_every_benchmark_is_tested() -> None:
    scripts = {path.stem for path in BENCH.glob("*.py") if "wants_quick(" in path.read_text()}
    assert scripts - {"measuring"} == set(TABLES)
