"""Trouble from outside: odd files, closed streams, signals and tampering."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from evalkit.core.serialization import canonical_json
from tests.conftest import Project
from tests.support.paths import ROOT

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

DEEP_JSON = b"[" * 100_000 + b"\n"

WAITING_SET = """
    agent: {python: ./agent.py:answer, timeout_s: 20}
    concurrency: 4
    cases: [cases.jsonl]
"""


def obey_permissions() -> None:
    """Let even root be refused what a file's mode refuses it."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def stored(project: Project, run_id: str = "r") -> Path:
    return project.folder / ".evalkit" / "runs" / run_id


def run_once(project: Project) -> Path:
    """The folder of a finished run with the id `r`."""
    assert project.evalkit("run", "echo.yaml", "--run-id", "r").code in (0, 1)
    return stored(project)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def write_waiting_set(project: Project, cases: int = 24, sleep_s: float = 0.3) -> None:
    project.write(
        "agent.py",
        f"import time\ndef answer(text):\n    time.sleep({sleep_s})\n    return text.upper()\n",
    )
    rows = [{"id": f"c{n}", "input": f"q{n}", "expected": f"Q{n}"} for n in range(cases)]
    project.write("cases.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write("wait.yaml", WAITING_SET)


def counts_of(report: dict[str, Any]) -> dict[str, int]:
    """The states of a report's trials, once it is sure that none is missing or counted twice."""
    counts: dict[str, int] = report["tally"]["counts"]
    assert sum(counts.values()) == report["tally"]["selected"]
    return counts


# Streams and folders of the process itself.


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "0 1 2"])
def test_closed_streams_change_neither_verdict_nor_store(project: Project, closed: str) -> None:
    numbers = [int(number) for number in closed.split()]

    def close_them() -> None:
        for number in numbers:
            os.close(number)

    done = subprocess.run(
        project.command("run", "echo.yaml", "--junit", "j.xml"),
        cwd=project.folder,
        env=project.environ(),
        stdin=None if 0 in numbers else subprocess.DEVNULL,
        stdout=None if 1 in numbers else subprocess.DEVNULL,
        stderr=None if 2 in numbers else subprocess.DEVNULL,
        timeout=60,
        check=False,
        preexec_fn=close_them,
    )
    assert done.returncode == 0
    assert [row["scores"][0]["passed"] for row in project.rows()] == [True] * 3
    assert (project.folder / "j.xml").read_text().endswith("</testsuites>\n")


def test_a_working_folder_that_is_gone_is_told(project: Project) -> None:
    gone = project.folder / "gone"
    gone.mkdir()
    script = 'rmdir ../gone; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *project.command("run", str(project.folder / "echo.yaml"))],
        cwd=gone,
        env=project.environ({"PYTHONPATH": str(ROOT)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_full_stdout_is_no_traceback_whatever_is_asked(project: Project, option: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            project.command(option),
            cwd=project.folder,
            env=project.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr


def test_a_set_in_a_folder_and_under_a_name_that_are_no_utf8(project: Project) -> None:
    folder = os.fsencode(project.folder) + b"/d \xff \xc3\xbc"
    os.mkdir(folder)  # noqa: PTH102 - pathlib takes no bytes
    for name in ("agent.py", "echo.yaml"):
        os.link(project.folder / name, folder + b"/" + name.encode())
    inside = Project(Path(os.fsdecode(folder)))
    os.rename(folder + b"/echo.yaml", folder + b"/s\xfft.yaml")  # noqa: PTH104
    name = os.fsdecode(b"s\xfft.yaml")
    done = inside.evalkit("run", name, "--junit", "j.xml", "--markdown", "m.md", "--format", "json")
    assert done.code == 0, done
    assert counts_of(done.json)["scored"] == 3
    assert inside.evalkit("baseline", name, "--from", "latest").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "LONG.yaml"],
        ["validate", "LONG"],
        ["show", "LONG"],
        ["gate", "LONG"],
        ["gate", "latest", "--baseline", "LONG"],
        ["diff", "latest", "LONG/" * 20],
        ["run", "echo.yaml", "--run-id", "LONG"],
        ["repair", "LONG"],
        ["merge", "LONG"],
    ],
    ids=" ".join,
)
def test_a_name_of_300_characters_is_told_and_no_traceback(
    project: Project, arguments: list[str]
) -> None:
    run_once(project)
    done = project.evalkit(*(word.replace("LONG", "y" * 300) for word in arguments))
    assert done.code == 2, done


# The store's folder and the baseline as what they should not be.


def put_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not a folder\n")


def put_loop(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)


@pytest.mark.parametrize("put", [put_file, put_loop])
@pytest.mark.parametrize("place", [".evalkit", ".evalkit/runs"])
def test_a_store_that_is_no_folder_is_a_failure_to_save(
    project: Project, place: str, put: Callable[[Path], None]
) -> None:
    put(project.folder / place)
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3, done
    assert "could not save" in done.err
    assert project.evalkit("show", "latest").code in (2, 3)


def bound_memory() -> None:
    """Let an endless file end soon."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))


@pytest.mark.parametrize("what", ["folder", "pipe", "device"])
def test_a_baseline_that_is_no_file_is_neither_read_nor_waited_for(
    project: Project, what: str
) -> None:
    path = project.folder / "baselines" / "echo.jsonl"
    path.parent.mkdir()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    done = project.evalkit("run", "echo.yaml", timeout_s=8, preexec=bound_memory)
    assert done.code == 3, done
    assert "echo.jsonl" in done.err
    assert not project.runs()


@pytest.mark.parametrize(
    ("place", "mode", "arguments"),
    [
        (".evalkit", 0o000, ["run", "echo.yaml"]),
        (".evalkit", 0o000, ["show", "latest"]),
        (".evalkit", 0o555, ["repair", "r"]),
        (".evalkit/runs", 0o000, ["run", "echo.yaml"]),
        (".evalkit/runs", 0o555, ["run", "echo.yaml"]),
        (".evalkit/runs", 0o000, ["gate", "latest"]),
        (".evalkit/runs", 0o000, ["run", "echo.yaml", "--resume"]),
        (".evalkit/runs/r", 0o000, ["run", "echo.yaml"]),
        (".evalkit/runs/r", 0o000, ["show", "latest"]),
        (".evalkit/runs/r/run.json", 0o000, ["show", "r"]),
        (".evalkit/runs/r/trials.jsonl", 0o000, ["show", "r"]),
        (".evalkit/runs/r/trials.jsonl", 0o444, ["run", "echo.yaml", "--resume", "--run-id", "r"]),
        ("baselines", 0o000, ["run", "echo.yaml"]),
        ("baselines", 0o000, ["gate", "r"]),
        ("baselines", 0o555, ["baseline", "echo.yaml", "--from", "r"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_may_not_be_read_or_written_is_told(
    project: Project, place: str, mode: int, arguments: list[str]
) -> None:
    run_once(project)
    (project.folder / "baselines").mkdir()
    path = project.folder / place
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        done = project.evalkit(*arguments, preexec=obey_permissions)
    finally:
        path.chmod(before)
    assert done.code != 70, done.err
    assert done.code in (0, 2, 3)


# Files that were asked for.


def test_an_output_that_is_a_folder_is_told_before_anything_is_spent(project: Project) -> None:
    (project.folder / "out").mkdir()
    done = project.evalkit("run", "echo.yaml", "--junit", "out", "--markdown", "m.md")
    assert done.code == 2
    assert "out is a folder" in done.err
    assert not project.runs()


def test_an_output_through_a_pipe_arrives_and_leaves_the_pipe(project: Project) -> None:
    """What holds for a pipe holds for /dev/null and /dev/stdout, which root could replace."""
    pipe = project.folder / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert project.evalkit("run", "echo.yaml", "--junit", "pipe").code == 0
        assert stat.S_ISFIFO(pipe.stat().st_mode), "the pipe was replaced by a file"
        assert os.read(descriptor, 1 << 16).startswith(b"<?xml")
    finally:
        os.close(descriptor)


def test_an_output_through_a_link_goes_where_the_link_leads(project: Project) -> None:
    (project.folder / "latest.xml").symlink_to("real.xml")
    project.write("real.xml", "old\n")
    assert project.evalkit("run", "echo.yaml", "--junit", "latest.xml").code == 0
    assert (project.folder / "latest.xml").is_symlink()
    assert (project.folder / "real.xml").read_text().startswith("<?xml")


# What is stored, changed behind our back.


FAILING_SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    cases:
      - {id: one, input: one, expected: ONE}
      - {id: two, input: two, expected: ZWEI}
      - {id: three, input: three, expected: THREE}
"""
FAILED = '"passed":false,"value":0.0'
PASSED = '"passed":true,"value":1.0'


@pytest.mark.parametrize(
    "arguments",
    [["gate", "r"], ["baseline", "echo.yaml", "--from", "r"], ["run", "echo.yaml", "--resume"]],
    ids=" ".join,
)
def test_a_score_edited_in_a_finished_run_is_never_green(
    project: Project, arguments: list[str]
) -> None:
    project.write("echo.yaml", FAILING_SET)
    trials = run_once(project) / "trials.jsonl"
    rewrite(trials, FAILED, PASSED)
    extra = ["--run-id", "r"] if "--resume" in arguments else []
    done = project.evalkit(*arguments, *extra)
    assert done.code in (3, 4), done
    assert "trials.jsonl" in done.err


def test_resuming_does_not_whitewash_what_an_agent_wrote_into_the_store(project: Project) -> None:
    project.write("echo.yaml", FAILING_SET)
    project.write(
        "agent.py",
        f"""
        import pathlib, time
        def answer(text):
            if text == "three":
                time.sleep(0.5)
                for path in pathlib.Path(".evalkit/runs").glob("*/trials.jsonl"):
                    path.write_text(path.read_text().replace('{FAILED}', '{PASSED}'))
            return text.upper()
        """,
    )
    assert project.evalkit("run", "echo.yaml").code == 3
    resumed = project.evalkit("run", "echo.yaml", "--resume")
    assert resumed.code != 0, resumed.out


@pytest.mark.parametrize("deed", ["path.write_bytes(b'')", "path.write_text('{}')"])
def test_an_agent_that_changes_the_header_of_the_run_is_found_out(
    project: Project, deed: str
) -> None:
    project.write(
        "agent.py",
        f"""
        import pathlib
        def answer(text):
            for path in pathlib.Path(".evalkit/runs").glob("*/run.json"):
                {deed}
            return text.upper()
        """,
    )
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3, done
    assert "run.json" in done.err


@pytest.mark.parametrize("deed", ["shutil.rmtree('.evalkit')", "os.rename('.evalkit', 'gone')"])
def test_an_agent_that_takes_the_store_away_is_found_out(project: Project, deed: str) -> None:
    project.write(
        "agent.py",
        f"""
        import os, shutil
        def answer(text):
            if os.path.exists(".evalkit"):
                {deed}
            return text.upper()
        """,
    )
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3, done


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"case_id":"one"', '"case_id":"zzz"'),
        ('"case_id":"one","number":0', '"case_id":"one","number":7'),
        ('"value":1.0', '"value":NaN'),
        ('"value":1.0', '"value":1e999'),
        ('"value":1.0', '"value":null'),
    ],
)
def test_a_trial_that_is_not_one_any_more_is_not_counted(
    project: Project, old: str, new: str
) -> None:
    rewrite(run_once(project) / "trials.jsonl", old, new)
    done = project.evalkit("gate", "r", "--format", "json")
    assert done.code == 3, done
    if done.out:
        counts_of(done.json)


@pytest.mark.parametrize("name", ["run.json", "trials.jsonl"])
@pytest.mark.parametrize("content", [DEEP_JSON, b"\xff\xfe\n", b"null\n", b"1" * 5000 + b"\n"])
def test_what_is_no_run_is_unreadable_and_no_traceback(
    project: Project, name: str, content: bytes
) -> None:
    (run_once(project) / name).write_bytes(content)
    for arguments in (["gate", "r"], ["run", "echo.yaml", "--resume", "--run-id", "r"]):
        done = project.evalkit(*arguments)
        assert done.code == 3, done
        assert name in done.err
    assert project.evalkit("repair", "r").code in (0, 3)


@pytest.mark.parametrize("lines", [b"\n", b"\n\n", b"[]\n", b" \n", DEEP_JSON])
def test_what_cannot_be_read_can_be_repaired(project: Project, lines: bytes) -> None:
    with (run_once(project) / "trials.jsonl").open("ab") as stream:
        stream.write(lines)
    refused = project.evalkit("gate", "r")
    assert refused.code in (0, 3), refused
    if refused.code == 3:
        assert "evalkit repair r" in refused.err
        assert project.evalkit("repair", "r").code == 0
        assert project.evalkit("run", "echo.yaml", "--resume", "--run-id", "r").code == 0


def test_a_run_of_a_newer_evalkit_is_refused_by_name(project: Project) -> None:
    edit_json(run_once(project) / "run.json", schema="evalkit.run/v9", evalkit_version="9.1")
    for arguments in (["gate", "r"], ["baseline", "echo.yaml", "--from", "r"]):
        done = project.evalkit(*arguments)
        assert done.code == 3, done
        assert "9.1" in done.err


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"max_errors": "many"}},
        {"settings": {"seed": None, "trials": "x"}},
        {"trials": -1},
        {"shard": "2/x"},
    ],
    ids=str,
)
def test_a_header_with_impossible_values_is_told(project: Project, changes: dict[str, Any]) -> None:
    edit_json(run_once(project) / "run.json", **changes)
    for arguments in (["gate", "r"], ["run", "echo.yaml", "--resume", "--run-id", "r"]):
        done = project.evalkit(*arguments)
        assert done.code != 70, done.err


@pytest.mark.parametrize(
    "arguments",
    [["run", "echo.yaml", "--resume"], ["run", "echo.yaml", "--last-failed"], ["show", "v1"]],
    ids=" ".join,
)
def test_one_broken_run_keeps_nobody_from_the_others(
    project: Project, arguments: list[str]
) -> None:
    project.write("echo.yaml", FAILING_SET)
    project.evalkit("run", "echo.yaml", "--run-id", "good", "--agent-version", "v1")
    (stored(project, "good") / "summary.json").unlink()
    broken = stored(project, "torn")
    broken.mkdir()
    (broken / "run.json").write_text("{")
    done = project.evalkit(*arguments)
    assert done.code in (0, 1), done


def reseal(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every trial of a baseline, and its digest with it."""
    first, *rest = path.read_text().splitlines()
    header, rows = json.loads(first), [json.loads(line) for line in rest]
    for row in rows:
        for trial in row["trials"]:
            change(trial)
    body = "".join(json.dumps(row) + "\n" for row in rows)
    header.pop("sha256")
    sealed = canonical_json(header).encode() + b"\n" + body.encode()
    header["sha256"] = hashlib.sha256(sealed).hexdigest()
    path.write_text(json.dumps(header) + "\n" + body)


def set_value(value: float | None) -> Callable[[dict[str, Any]], None]:
    def change(trial: dict[str, Any]) -> None:
        trial["scores"][0]["value"] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_value(float("nan")),
        set_value(float("inf")),
        set_value(None),
        lambda trial: trial.update(scores=[]),
        lambda trial: trial.update(number=-1),
    ],
    ids=["nan", "inf", "null", "unscored", "numbered"],
)
def test_a_baseline_without_sound_values_decides_nothing(
    project: Project, change: Callable[[dict[str, Any]], None]
) -> None:
    assert project.evalkit("baseline", "echo.yaml", "--trials", "2").code == 0
    with (project.folder / "echo.yaml").open("a") as stream:
        stream.write("gate: [{metric: exact_match, max_drop: 0.02}]\n")
    reseal(project.folder / "baselines" / "echo.jsonl", change)
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 3, done
    if done.out:
        counts_of(done.json)


@pytest.mark.parametrize("content", [DEEP_JSON, b"<<<<<<< HEAD\n", b"version https://git-lfs\n"])
def test_a_baseline_that_git_or_chance_left_is_unreadable(project: Project, content: bytes) -> None:
    project.write("baselines/echo.jsonl", content)
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3, done
    assert "echo.jsonl:1" in done.err


# Parts and resumed runs.


def write_parts(project: Project) -> None:
    for part in (1, 2, 3):
        done = project.evalkit("run", "echo.yaml", "--shard", f"{part}/3", "--run-id", f"s{part}")
        assert done.code == 0


def test_a_part_with_a_broken_line_is_named_and_nothing_is_joined(project: Project) -> None:
    write_parts(project)
    with (stored(project, "s2") / "trials.jsonl").open("ab") as stream:
        stream.write(b"garbage\n")
    done = project.evalkit("merge", "s1", "s2", "s3")
    assert done.code == 3
    assert "trials.jsonl:2" in done.err
    assert len(project.runs()) == 3


def test_a_part_that_lost_trials_is_not_green(project: Project) -> None:
    write_parts(project)
    (stored(project, "s2") / "trials.jsonl").unlink()
    done = project.evalkit("merge", "s1", "s2", "s3")
    assert done.code == 3
    assert "trials.jsonl" in done.err


def test_parts_that_hold_one_case_twice_and_another_never_are_not_green(project: Project) -> None:
    write_parts(project)
    cases = json.loads((stored(project, "s1") / "run.json").read_text())["cases"]
    edit_json(stored(project, "s2") / "run.json", cases=cases)
    done = project.evalkit("merge", "s1", "s2", "s3")
    assert done.code in (2, 3), done


def cut_short(run: Path) -> None:
    """A run of which only the first trial was stored."""
    (run / "summary.json").unlink()
    trials = run / "trials.jsonl"
    trials.write_text(trials.read_text().splitlines(keepends=True)[0])


@pytest.mark.parametrize("in_git", [False, True], ids=["no git", "untracked"])
def test_a_run_of_an_agent_that_was_edited_since_is_not_resumed(
    project: Project, git: Callable[..., str], in_git: bool
) -> None:
    if in_git:
        git("init", "-q")
        git("add", "echo.yaml")
        git("commit", "-q", "-m", "the set")
    cut_short(run_once(project))
    project.write("agent.py", "def answer(text):\n    return text.upper()  # another one\n")
    done = project.evalkit("run", "echo.yaml", "--resume", "--run-id", "r")
    assert done.code == 2, done
    assert "agent" in done.err


def test_a_case_that_is_new_since_is_not_passed_over_in_silence(project: Project) -> None:
    cut_short(run_once(project))
    with (project.folder / "echo.yaml").open("a") as stream:
        stream.write("  - {id: new, input: x, expected: wrong}\n")
    done = project.evalkit("run", "echo.yaml", "--resume", "--run-id", "r")
    assert done.code == 2 or "new" in done.out + done.err, done


@pytest.mark.parametrize("name", ["latest", "baseline"])
def test_a_run_is_not_named_like_a_word_that_means_another(project: Project, name: str) -> None:
    done = project.evalkit("run", "echo.yaml", "--run-id", name)
    assert done.code == 2, done
    assert not project.runs()


def test_an_option_that_would_do_nothing_is_refused(project: Project) -> None:
    done = project.evalkit("run", "echo.yaml", "--retry-errors")
    assert done.code == 2, done
    assert "--resume" in done.err


# Secrets.


def test_an_agent_that_shows_a_secret_while_it_is_loaded_shows_nothing(project: Project) -> None:
    project.write("agent.py", 'import os\nraise RuntimeError("with " + os.environ["MY_KEY"])\n')
    rewrite(project.folder / "echo.yaml", "answer}", "answer, env: [MY_KEY]}")
    done = project.evalkit("run", "echo.yaml", env={"MY_KEY": "canary-of-the-mine"})
    assert done.code == 2
    assert "RuntimeError" in done.err
    assert "canary" not in done.out + done.err


def test_the_working_folder_is_no_secret(project: Project) -> None:
    path = project.folder / "report.txt"
    project.write(
        "agent.py",
        'import os\ndef answer(text):\n    return os.path.join(os.getcwd(), "report.txt")\n',
    )
    project.write(
        "echo.yaml",
        "agent: {python: ./agent.py:answer}\ncases:\n"
        f"- {{id: a, input: x, expected: {json.dumps(str(path))}}}\n",
    )
    done = project.evalkit("run", "echo.yaml", env={"PWD": str(project.folder)})
    assert done.code == 0, done.out


# Signals and dying processes.


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_trials(project: Project, count: int) -> None:
    deadline = time.monotonic() + 20
    while not (project.runs() and len(project.rows()) >= count):
        assert time.monotonic() < deadline, "no trial was stored"
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []


def test_workers_that_are_killed_cost_no_more_than_what_they_were_at(project: Project) -> None:
    write_waiting_set(project)
    process = start(project, "run", "wait.yaml", "--format", "json")
    for stored_trials in (2, 6):
        wait_for_trials(project, stored_trials)
        for worker in workers_of(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 3), err
    counts = counts_of(json.loads(out))
    assert counts["scored"] + counts["agent_error"] == 24
    assert counts["agent_error"] <= 8
    assert len(project.rows()) == 24


def test_a_run_that_is_stopped_and_continued_is_whole(project: Project) -> None:
    write_waiting_set(project, cases=12)
    process = start(project, "run", "wait.yaml", "--format", "json")
    wait_for_trials(project, 2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert counts_of(json.loads(out))["scored"] == 12


def sleepers(project: Project) -> list[psutil.Process]:
    """Processes of an agent that works in the project's folder."""
    return [
        process
        for process in psutil.process_iter(["cwd", "status", "cmdline"])
        if process.info["cwd"] == str(project.folder)
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and "evalkit" not in " ".join(process.info["cmdline"] or ())
    ]


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_no_agent_behind(project: Project) -> None:
    project.write(
        "long.yaml",
        """
        agent: {command: [sh, -c, "sleep 30; echo late", "{input}"]}
        cases:
          - {id: one, input: one, expected: ONE}
          - {id: two, input: two, expected: TWO}
        """,
    )
    process = start(project, "run", "long.yaml")
    deadline = time.monotonic() + 20
    while not sleepers(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers(project), "no agent was started"
    process.send_signal(signal.SIGHUP)
    try:
        process.communicate(timeout=30)
        time.sleep(0.5)
        left = sleepers(project)
    finally:
        for sleeper in sleepers(project):
            sleeper.kill()
        process.kill()
    assert not left
    assert process.returncode in (129, 130, 143, -signal.SIGHUP)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/tty of a session of its own")
@pytest.mark.parametrize(
    "agent",
    ["{python: ./agent.py:answer}", "{command: [./agent.sh, x]}"],
    ids=["python", "command"],
)
def test_an_agent_cannot_write_on_the_users_terminal(project: Project, agent: str) -> None:
    project.write(
        "agent.py",
        """
        import os
        def answer(text):
            print("GRAFFITI")
            os.write(1, b"GRAFFITI")
            os.write(2, b"GRAFFITI")
            try:
                open("/dev/tty", "w").write("GRAFFITI")
            except OSError:
                pass
            return "ONE"
        """,
    )
    script = project.write(
        "agent.sh", "#!/bin/sh\necho GRAFFITI >&2\necho GRAFFITI > /dev/tty\nprintf ONE\n"
    )
    script.chmod(0o755)
    project.write("tty.yaml", f"agent: {agent}\ncases: [{{id: a, input: x, expected: ONE}}]\n")
    master, slave = os.openpty()
    process = subprocess.Popen(
        project.command("run", "tty.yaml"),
        cwd=project.folder,
        env=project.environ(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal raises it
        while chunk := os.read(master, 1 << 16):
            shown += chunk
    os.close(master)
    assert process.wait(30) == 0, shown
    assert b"GRAFFITI" not in shown
