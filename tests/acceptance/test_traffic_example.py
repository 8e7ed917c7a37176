"""The example's week of traffic: regenerable, labelled as made up, and worse in its new version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from tests.support.paths import ROOT

FOLDER = ROOT / "evalsets" / "traffic"
WEEK = ("2026-w46.traces.jsonl.zst", "2026-w46.scores.jsonl")


def read_week(folder: Path) -> list[bytes]:
    traces, scores = (folder / name for name in WEEK)
    # Other versions of the library may compress differently.
    return [zstandard.decompress(traces.read_bytes()), scores.read_bytes()]


@pytest.mark.slow
def test_the_script_beside_the_week_makes_it_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(FOLDER / "make_week.py"), str(tmp_path)], check=True)
    assert read_week(tmp_path) == read_week(FOLDER)


def test_the_week_is_small_and_says_that_it_is_made_up() -> None:
    assert sum((FOLDER / name).stat().st_size for name in WEEK) < 300_000
    traces, _ = read_week(FOLDER)
    lines = traces.splitlines()
    assert all(b'"stringValue":"made-up"' in line for line in lines)
