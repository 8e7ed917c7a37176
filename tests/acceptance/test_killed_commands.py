"""kill -9 of every command that writes: files are old or new, nothing is paid twice, no debris stays.

`EVALKIT_KILLS=200` tries more moments than the few of a normal run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Project

KILLS = int(os.environ.get("EVALKIT_KILLS", "2"))
CASES = 12

AGENT = """
    import os, time

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def answer(text):
        os.write(LOG, (text + "\\n").encode())
        time.sleep(0.05)
        return text.upper()
"""


@pytest.fixture
def stored(project: Project) -> Project:
    """A project with a finished run `full` and its baseline."""
    project.write("agent.py", AGENT)
    rows = "\n".join(f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}" for n in range(CASES))
    project.write(
        "s.yaml",
        "evalset: s\nagent: {python: ./agent.py:answer}\nmetrics: [exact_match]\n"
        f"concurrency: 2\ncases:\n{rows}\n",
    )
    assert project.evalkit("run", "s.yaml", "--run-id", "full").code == 0
    return project


def kill_within(project: Project, limit_s: float, rng: random.Random, *arguments: str) -> None:
    """Start a command, and kill it at some moment before `limit_s`."""
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Late moments are more interesting: files are written at the end.
    time.sleep(limit_s * rng.random() ** 0.5)
    process.kill()
    process.wait()


def list_debris(project: Project) -> list[str]:
    """Temporary files, which have names that begin with a dot or with `tmp`."""
    return [
        str(path)
        for path in project.folder.rglob("*")
        if path.is_file()
        and path.name.startswith((".", "tmp"))
        and path.name not in (".gitignore", ".env")
    ]


def count_calls(project: Project) -> int:
    log = project.folder / "calls.log"
    return len(log.read_text().split()) if log.exists() else 0


REPLACING = {
    "baseline": (("baseline", "s.yaml", "--from", "full"), ("baselines/s.jsonl",)),
    "history": (("history", "s.yaml", "--record", "out/rows.jsonl"), ("out/rows.jsonl",)),
    "report": (
        ("report", "full", "--junit", "out/r.xml", "--csv", "out/r.csv", "--html", "out/r.html"),
        ("out/r.xml", "out/r.csv", "out/r.html"),
    ),
}


@pytest.mark.parametrize("name", REPLACING)
@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_command_leaves_each_file_old_or_new(stored: Project, name: str) -> None:
    command, names = REPLACING[name]
    paths = [stored.folder / each for each in names]
    started_s = time.monotonic()
    done = stored.evalkit(*command)
    took_s = time.monotonic() - started_s
    assert done.code == 0, done
    new = [path.read_bytes() for path in paths]
    # An old file that the command accepts, for a history reads the rows that it has.
    old = [b"" if name == "history" else b"old\n" for _ in paths]
    paid = count_calls(stored)
    rng = random.Random(name)
    for _ in range(KILLS):
        for path, content in zip(paths, old, strict=True):
            path.write_bytes(content)
        kill_within(stored, took_s, rng, *command)
        for path, *contents in zip(paths, old, new, strict=True):
            assert path.read_bytes() in contents, path
        assert list_debris(stored) == []
    assert stored.evalkit(*command).code == 0
    assert [path.read_bytes() for path in paths] == new
    assert count_calls(stored) == paid


@pytest.mark.parametrize(
    ("begin", "resume"),
    [
        (("ask", "s.yaml", "--run-id", "z"), ("ask", "s.yaml", "--resume", "--run-id", "z")),
        (("score", "full", "--run-id", "z"), ("score", "full", "--resume", "--run-id", "z")),
        (
            ("baseline", "s.yaml", "--trials", "1", "--run-id", "z"),
            ("baseline", "s.yaml", "--trials", "1", "--resume", "--run-id", "z"),
        ),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_command_is_resumed_without_paying_twice(
    stored: Project, begin: tuple[str, ...], resume: tuple[str, ...]
) -> None:
    folder = stored.folder / ".evalkit" / "runs" / "z"
    rng = random.Random(begin[0])
    rows: list[str] = []
    for _ in range(KILLS):
        paid = count_calls(stored)
        command = resume if (folder / "run.json").exists() else begin
        kill_within(stored, 1.2, rng, *command)
        known, rows = rows, read_case_ids(folder)
        assert rows[: len(known)] == known, "a stored trial was lost"
        # Each of two slots may have an answer that was not stored yet.
        asked = count_calls(stored) - paid
        assert asked <= len(rows) - len(known) + 2 if begin[0] != "score" else asked == 0
        assert list_debris(stored) == []
    paid = count_calls(stored)
    command = resume if (folder / "run.json").exists() else begin
    assert stored.evalkit(*command).code == 0
    assert sorted(read_case_ids(folder)) == sorted(f"c{n}" for n in range(CASES))
    assert count_calls(stored) - paid == (0 if begin[0] == "score" else CASES - len(rows))


def read_case_ids(folder: Path) -> list[str]:
    """The cases of the trials that were stored whole, in their order."""
    path = folder / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["case_id"] for line in lines if line.endswith(b"\n")]


@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_merge_can_be_repeated(stored: Project) -> None:
    for shard in (1, 2):
        arguments = ("--shard", f"{shard}/2", "--run-id", f"part{shard}")
        assert stored.evalkit("run", "s.yaml", *arguments).code == 0
    paid = count_calls(stored)
    parts = [stored.folder / ".evalkit/runs" / f"part{n}" for n in (1, 2)]
    before = [read_case_ids(part) for part in parts]
    rng = random.Random(1)
    for _ in range(KILLS):
        kill_within(stored, 1.0, rng, "merge", "part1", "part2")
        assert list_debris(stored) == []
        assert [read_case_ids(part) for part in parts] == before
    # What a killed merge left is no run that asks the agent again.
    stored.evalkit("run", "s.yaml", "--resume")
    assert count_calls(stored) == paid
    merged = stored.evalkit("merge", "part1", "part2", "--format", "json")
    assert merged.code == 0
    assert merged.json["tally"]["counts"]["scored"] == CASES
    assert count_calls(stored) == paid


def test_many_processes_record_into_one_history_without_losing_a_row(stored: Project) -> None:
    record = stored.folder / "out" / "rows.jsonl"
    others = 8
    # Each project has a run of its own, so that each process has a row that no other has.
    started = []
    for number in range(others):
        folder = stored.folder / f"copy{number}"
        copy_project(stored.folder, folder, f"run{number}")
        started.append(
            subprocess.Popen(
                stored.command("history", "s.yaml", "--record", str(record)),
                cwd=folder,
                env=stored.environ(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    while any(process.poll() is None for process in started):
        if record.exists():
            # A reader sees whole lines at every moment.
            for line in record.read_text().splitlines():
                json.loads(line)
        time.sleep(0.01)
    assert [process.wait() for process in started] == [0] * others
    ids = [json.loads(line)["id"] for line in record.read_text().splitlines()]
    assert sorted(ids) == [f"run{number}" for number in range(others)]


def copy_project(source: Path, target: Path, run_id: str) -> None:
    """A project with the set of another one and its run, under another id."""
    run = target / ".evalkit" / "runs" / run_id
    run.mkdir(parents=True)
    (target / "s.yaml").write_text((source / "s.yaml").read_text())
    (target / "agent.py").write_text((source / "agent.py").read_text())
    for name in ("run.json", "trials.jsonl", "summary.json"):
        text = (source / ".evalkit/runs/full" / name).read_text()
        (run / name).write_text(text.replace('"id":"full"', f'"id":"{run_id}"'))
