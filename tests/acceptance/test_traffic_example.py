"""The example's week of traffic: its script makes it again, and the guide's tour leads through it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from tests.conftest import Project
from tests.support.paths import ROOT

FOLDER = ROOT / "evalsets" / "traffic"
SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
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


@pytest.mark.slow
def test_every_command_of_the_tour_works(project: Project) -> None:
    for folder in ("evalsets", "rubrics"):
        shutil.copytree(ROOT / folder, project.folder / folder)
    page = (ROOT / "evalkit" / "guide" / "from-production.md").read_text()
    project.write("evalkit.yaml", FILES.findall(page)[0])
    commands = [line for block in SHELL.findall(page) for line in block.splitlines()]
    outputs = {}
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "sed":
            subprocess.run([program, *arguments], cwd=project.folder, check=True)
            continue
        if arguments[0] == "review":  # it needs a terminal otherwise
            arguments += ["--csv-out", "sheet.csv"]
        done = project.evalkit(*arguments, env={"EVALKIT_REDACTION_KEY": "k" * 32}, timeout_s=100)
        assert done.code == (1 if "gate" in arguments else 0), (command, done.out + done.err)
        outputs[" ".join(arguments[:2])] = done.out
    assert "Added 2,000 requests" in outputs["traffic import"]
    report = " ".join(outputs["traffic report"].split())
    assert "WORSE v2 against v1: success" in report
    for line in (
        r"handed over .* pt +worse",
        r"resolved .* pt +worse",
        r"cost of a request .*% +worse",
    ):
        assert re.search(line, outputs["traffic report"])
    assert "(v2 began)" in outputs["traffic report"]
    for line in ("FAIL +cost_usd", "FAIL +escalation", "INCONCLUSIVE +error", "PASS +latency"):
        assert re.search(line, outputs["traffic gate"])
    assert "failed" in outputs["traffic sample"]
    stored = b"".join(
        path.read_bytes() for path in project.folder.glob(".evalkit/traffic/**/*") if path.is_file()
    )
    assert not re.search(rb"user-\d{4}|session-\d{4}", stored)
    text = (project.folder / "evalsets/from_traffic.yaml").read_text()
    assert not re.search(r"user-\d{4}|session-\d{4}|@brindlecove", text)
