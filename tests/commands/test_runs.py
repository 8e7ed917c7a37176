"""`evalkit runs` lists every stored run, whatever state it is in."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

from evalkit.store.run_lock import RunLock
from tests.conftest import Project


def copy_run(source: Path, name: str, evalset: str) -> Path:
    """Copy a run under another id and set, newer than all others; without a set it has a broken header."""
    folder = source.parent / name
    shutil.copytree(source, folder)
    path = folder / "run.json"
    header = {**json.loads(path.read_text()), "evalset": evalset}
    path.write_text(json.dumps(header) if evalset else "{")
    newest = max(each.stat().st_mtime_ns for each in source.parent.glob("*/run.json"))
    os.utime(path, ns=(newest + 10**9, newest + 10**9))
    return folder


def test_runs_are_listed_in_any_state(project: Project) -> None:
    empty = project.evalkit("runs")
    assert (empty.code, empty.out) == (5, "")
    assert empty.err == "evalkit: no stored run to list. Make one with: evalkit run EVALSET\n"

    assert project.evalkit("run", "echo.yaml", "--agent-version", "v1").code == 0
    project.write("agent.py", "def answer(text):\n    return 'wrong'\n")
    assert project.evalkit("run", "echo.yaml", "--agent-version", "v2").code == 1
    passed, failed = project.runs()
    unfinished = copy_run(passed, "20990101-000000-echo-000001", "other")
    (unfinished / "summary.json").unlink()
    broken = copy_run(passed, "20990101-000000-echo-000002", "")
    (passed.parent / "notes").mkdir()  # no run
    (passed.parent / "stray.txt").write_text("")
    ids = [broken.name, unfinished.name, failed.name, passed.name]

    table = project.evalkit("runs", env={"COLUMNS": "80"})
    assert table.code == 0, table.err
    lines = table.out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["unreadable", "unfinished", "FAIL", "PASS"]
    assert [line.split()[-1] for line in lines[1:5]] == ids
    assert all(len(line) <= 80 for line in lines)
    assert f"{broken.name}: not a run" in " ".join(lines[5:])
    assert "--resume --run-id RUN" in table.out
    with RunLock(unfinished):
        assert "  running " in project.evalkit("runs").out
    narrow = project.evalkit("runs", env={"COLUMNS": "46"}).out
    assert all(f"{each}\n" in narrow for each in ids), "an id is never cut"
    assert "too narrow: agent, version." in " ".join(narrow.split())

    document = project.evalkit("runs", "--format", "json").json
    assert document["schema"] == "evalkit.runs/v1"
    assert [run["id"] for run in document["runs"]] == ids
    assert [run["outcome"] for run in document["runs"]] == [None, None, "fail", "pass"]
    assert document["runs"][2]["reason"].startswith("FAIL must pass: 3 of 3 cases failed")
    assert not document["has_more"]
    rows = list(csv.DictReader(io.StringIO(project.evalkit("runs", "--format", "csv").out)))
    assert [(row["id"], row["outcome"]) for row in rows][2] == (failed.name, "fail")

    def listed(*arguments: str) -> list[str]:
        found = project.evalkit("runs", "--format", "json", *arguments)
        return [run["id"] for run in found.json["runs"]] if found.code == 0 else [found.err]

    assert listed("--failed") == [failed.name]
    assert listed("--version", "v1") == [unfinished.name, passed.name]
    assert listed("--set", "other") == [unfinished.name]
    assert listed("--set", "echo") == [failed.name, passed.name]
    assert listed("--set", "./echo.yaml") == [unfinished.name, failed.name, passed.name]
    assert listed("--limit", "1") == [broken.name]
    assert "newest 1 runs. See more with --limit." in project.evalkit("runs", "--limit", "1").out
    assert "None of the 4 stored runs is like that" in listed("--version", "v9")[0]
