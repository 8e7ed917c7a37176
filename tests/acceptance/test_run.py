"""`evalkit run` as a user sees it: its calls, files, output and exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ECHO_SET, Project

FLAKY = """
    import random

    def answer(text, context):
        right = random.Random(context["seed"]).random() < 0.98
        return text.upper() if right else "?"
"""


def write_set(project: Project, cases: int = 60, extra: str = "") -> None:
    rows = "".join(f"  - {{id: c{n:02}, input: q{n}, expected: Q{n}}}\n" for n in range(cases))
    project.write("set.yaml", f"agent: {{python: ./agent.py:answer}}\n{extra}cases:\n{rows}")


GATE = "gate: [{metric: exact_match, max_drop: 0.02, primary: true}]\n"


def test_a_passing_set_exits_0_and_says_so_first(project: Project) -> None:
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("PASS")
    assert done.err == ""


def test_without_a_gate_every_case_must_pass(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: ZWEI"))
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 1
    assert done.out.startswith("FAIL")
    assert "two" in done.out
    assert "ZWEI" in done.out


def test_a_worse_agent_fails_against_its_baseline_and_the_broken_cases_are_named(
    project: Project,
) -> None:
    project.write("agent.py", FLAKY)
    write_set(project, extra=GATE)
    assert project.evalkit("baseline", "set.yaml").code == 0
    assert project.evalkit("run", "set.yaml").code == 0
    project.write(
        "agent.py",
        """
        def answer(text):
            return "?" if text in ("q3", "q14", "q15", "q9", "q26", "q5", "q35") else text.upper()
        """,
    )
    done = project.evalkit("run", "set.yaml", "--format", "json")
    assert done.code == 1, done.out
    check = done.json["checks"][0]
    assert check["outcome"] == "fail"
    assert {"c03", "c14", "c15"} & {hit["case_id"] for hit in check["hits"]}
    changes = done.json["comparison"]["cases"]
    broken = {case["case_id"]: case["status"] for case in changes if case["newly_failing"]}
    assert broken.keys() == {"c03", "c14", "c15", "c09", "c26", "c05", "c35"}
    # It passed 8 of 10 baseline trials, so one failure may be one of its usual ones.
    assert broken.pop("c26") == "flaky"
    assert set(broken.values()) == {"regressed"}


def test_the_baseline_holds_ten_trials_a_case_one_case_a_line(project: Project) -> None:
    project.write("agent.py", FLAKY)
    write_set(project, 8)
    done = project.evalkit("baseline", "set.yaml", "--format", "json")
    assert done.code == 0
    assert done.json["trials"] == 10
    lines = (project.folder / "baselines" / "set.jsonl").read_text().splitlines()
    assert len(lines) == 9
    ids = [json.loads(line)["case"]["id"] for line in lines[1:]]
    assert ids == sorted(ids)
    assert all(len(json.loads(line)["trials"]) == 10 for line in lines[1:])
    assert all("output" in trial for trial in json.loads(lines[1])["trials"])


def test_a_run_can_be_promoted_and_a_part_of_one_cannot(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "whole")
    assert project.evalkit("baseline", "echo.yaml", "--from", "whole").code == 0
    before = (project.folder / "baselines" / "echo.jsonl").read_text()
    project.evalkit("run", "echo.yaml", "--run-id", "part", "--limit", "2")
    done = project.evalkit("baseline", "echo.yaml", "--from", "part")
    assert done.code == 3
    assert "2 of 3 cases" in done.err
    assert (project.folder / "baselines" / "echo.jsonl").read_text() == before


def test_a_run_with_errors_is_no_baseline(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    return 1 / 0\n")
    done = project.evalkit("baseline", "echo.yaml", "--trials", "2")
    assert done.code == 3
    assert "6 agent_error" in done.err
    assert not (project.folder / "baselines").exists()


def test_gate_decides_again_with_todays_thresholds_and_asks_nobody(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: ZWEI"))
    assert project.evalkit("run", "echo.yaml").code == 1
    (project.folder / "agent.py").unlink()
    assert project.evalkit("gate", "latest").code == 1
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text + "gate: [{metric: exact_match, min: 0.5, test: point}]\n")
    assert project.evalkit("gate", "latest").code == 0


def test_json_on_stdout_is_one_document_and_alike_for_show_and_gate(project: Project) -> None:
    ran = project.evalkit("run", "echo.yaml", "--format", "json")
    assert ran.json["schema"] == "evalkit.report/v1"
    assert project.evalkit("gate", "latest", "--format", "json").json == ran.json
    assert project.evalkit("show", "latest", "--format", "json").json == ran.json


def test_junit_and_markdown_are_written_also_when_the_gate_fails(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: ZWEI"))
    done = project.evalkit("run", "echo.yaml", "--junit", "out/j.xml", "--markdown", "out/m.md")
    assert done.code == 1
    assert "<testsuites" in (project.folder / "out/j.xml").read_text()
    assert "FAIL" in (project.folder / "out/m.md").read_text()


def test_dry_run_counts_calls_and_makes_none(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    open('called', 'w')\n    return text\n")
    project.write(
        "set.yaml",
        """
        agent: {python: ./agent.py:answer}
        cases:
          - {id: one, input: x, expected: x}
          - {id: talk, input: [hello, {role: assistant, content: hi}, and?, more], expected: x}
        """,
    )
    done = project.evalkit("run", "set.yaml", "--dry-run", "--trials", "2", "--format", "json")
    assert done.code == 0
    assert done.json["agent_calls"] == 2 * (1 + 2)
    assert done.json["cases"] == ["one", "talk"]
    assert not (project.folder / "called").exists()
    assert not project.runs()


def test_failed_runs_only_what_failed_last_time(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: ZWEI"))
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("run", "echo.yaml", "--lf", "--format", "json")
    assert [case["id"] for case in done.json["cases"]] == ["two"]
    project.write("echo.yaml", ECHO_SET)
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("run", "echo.yaml", "--last-failed")
    assert done.code == 5
    assert "no case failed" in done.err


def test_parts_merge_into_a_run_equal_to_the_whole(project: Project) -> None:
    project.write("agent.py", FLAKY)
    write_set(project, 11, extra="gate: [{metric: exact_match, min: 0.1}]\n")
    whole = project.evalkit("run", "set.yaml", "--format", "json")
    for part in ("1/3", "2/3", "3/3"):
        name = f"part-{part[0]}"
        assert project.evalkit("run", "set.yaml", "--shard", part, "--run-id", name).code == 0
    merged = project.evalkit("merge", "part-3", "part-1", "part-2", "--format", "json")
    assert merged.code == 0
    for name in ("cases", "tally", "metrics", "checks", "outcome"):
        assert strip(merged.json[name]) == strip(whole.json[name]), name
    assert len(project.rows()) == 11


def strip(value: object) -> object:
    times = r'"(latency_s|started_s|took_s)": [^,}]+'
    text = re.sub(times, r'"\1": 0', json.dumps(value, sort_keys=True))
    return json.loads(text)


@pytest.mark.parametrize("parts", [["a"], ["a", "a"], ["a", "b", "whole"]])
def test_parts_that_are_not_all_of_one_run_do_not_merge(project: Project, parts: list[str]) -> None:
    project.evalkit("run", "echo.yaml", "--shard", "1/2", "--run-id", "a")
    project.evalkit("run", "echo.yaml", "--shard", "2/2", "--run-id", "b")
    project.evalkit("run", "echo.yaml", "--run-id", "whole")
    assert project.evalkit("merge", *parts).code == 2
    assert project.evalkit("merge", "a", "b").code == 0


def test_an_edit_within_the_same_second_is_run(project: Project) -> None:
    for answer, code in (("text.upper()", 0), ("text.lower()", 1)):
        path = project.write("agent.py", f"def answer(text):\n    return {answer}\n")
        os.utime(path, (1_800_000_000, 1_800_000_000))
        done = project.evalkit("run", "echo.yaml", env={"PYTHONDONTWRITEBYTECODE": ""})
        assert done.code == code, done


def test_diff_names_what_was_fixed_and_what_broke(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    return {'one': 'ONE'}.get(text, '?')\n")
    project.evalkit("run", "echo.yaml", "--agent-version", "v1")
    project.write("agent.py", "def answer(text):\n    return {'two': 'TWO'}.get(text, '?')\n")
    project.evalkit("run", "echo.yaml", "--agent-version", "v2")
    done = project.evalkit("diff", "v1", "v2", "--format", "json")
    assert done.code == 0
    statuses = {case["case_id"]: case["status"] for case in done.json["comparison"]["cases"]}
    assert statuses == {"one": "regressed", "two": "fixed", "three": "still_failing"}
    text = project.evalkit("diff", "v1", "v2", "--case", "one").out
    assert "-ONE" in text.replace(" ", "")
    assert "+?" in text.replace(" ", "")


def test_show_prints_one_case_in_full(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: ZWEI"))
    project.evalkit("run", "echo.yaml")
    done = project.evalkit("show", "latest", "two")
    assert done.code == 0
    for words in ("two", "ZWEI", "TWO", "exact_match"):
        assert words in done.out
    near = project.evalkit("show", "latest", "tow")
    assert near.code == 2
    assert "'two'" in near.err


def test_a_run_is_found_by_a_unique_start_and_an_unclear_one_is_refused(project: Project) -> None:
    for name in ("alpha-1", "alpha-2", "beta"):
        project.evalkit("run", "echo.yaml", "--run-id", name)
    assert project.evalkit("show", "be").code == 0
    unclear = project.evalkit("show", "alpha")
    assert unclear.code == 2
    assert "alpha-1" in unclear.err
    unknown = project.evalkit("show", "gamma")
    assert unknown.code == 2
    assert "'gamma'" in unknown.err


@pytest.mark.parametrize("run_id", ["../up", "a/b", "", ".hidden", "x" * 200, "a b"])
def test_a_run_id_that_is_no_file_name_is_refused(project: Project, run_id: str) -> None:
    done = project.evalkit("run", "echo.yaml", "--run-id", run_id)
    assert done.code == 2
    assert not project.runs()


def test_the_agent_version_is_the_commit_and_tells_uncommitted_changes(
    project: Project, git: object
) -> None:
    assert callable(git)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = str(git("rev-parse", "HEAD"))[:10]
    assert (
        project.evalkit("run", "echo.yaml", "--format", "json").json["run"]["agent"]["version"]
        == commit
    )
    project.write("agent.py", "def answer(text):\n    return text.upper() + ''\n")
    again = project.evalkit("run", "echo.yaml", "--format", "json").json
    assert again["run"]["agent"]["version"] == commit + "+dirty"


def test_a_recorded_baseline_does_not_make_the_next_run_dirty(
    project: Project, git: Callable[..., str]
) -> None:
    project.write(".gitignore", "__pycache__/\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    recorded = project.evalkit("baseline", "echo.yaml", "--trials", "2")
    assert "differ from commit" not in recorded.out
    git("add", ".")
    git("add", "-f", ".evalkit")
    git("commit", "-qm", "baseline, and the store by mistake")
    commit = git("rev-parse", "HEAD")[:10]
    # The baseline and the store of the last commit are replaced.
    again = project.evalkit("baseline", "echo.yaml", "--trials", "3", "--format", "json").json
    assert (again["agent_version"], again["git_dirty"]) == (commit, False)
    run = project.evalkit("run", "echo.yaml", "--format", "json").json["run"]
    assert run["agent"]["version"] == commit
    # A file of the agent may have the name of a baseline.
    project.write("baselines/data.jsonl", "{}\n")
    git("add", "baselines/data.jsonl")
    dirty = project.evalkit("baseline", "echo.yaml", "--trials", "2")
    assert f"Files differ from commit {commit}" in dirty.out
    assert f"agent {commit}+dirty" in dirty.out


def test_the_seed_of_a_trial_is_the_same_whatever_else_is_run(project: Project) -> None:
    project.write("agent.py", "def answer(text, context):\n    return str(context['seed'])\n")
    texts = []
    for options in ([], ["--case", "two"], ["--concurrency", "1"]):
        project.evalkit("run", "echo.yaml", *options)
        texts.append({row["case_id"]: row["output"]["text"] for row in project.rows()}["two"])
    project.evalkit("run", "echo.yaml", "--seed", "7")
    other = {row["case_id"]: row["output"]["text"] for row in project.rows()}["two"]
    assert len(set(texts)) == 1
    assert other != texts[0]


def test_nothing_depends_on_concurrency_or_hash_seed(project: Project) -> None:
    project.write("agent.py", FLAKY)
    write_set(project, 30, extra="gate: [{metric: exact_match, min: 0.1}]\n")
    reports = [
        strip(
            {
                name: value
                for name, value in project.evalkit(
                    "run",
                    "set.yaml",
                    "--concurrency",
                    width,
                    "--format",
                    "json",
                    env={"PYTHONHASHSEED": seed},
                ).json.items()
                if name in ("cases", "tally", "metrics", "checks", "outcome")
            }
        )
        for width, seed in (("1", "1"), ("16", "2"))
    ]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
        {"COLUMNS": "1"},
        {"COLUMNS": "40"},
        {"TZ": "Asia/Kolkata"},
        {"HOME": "/nonexistent"},
        {"TERM": "dumb"},
    ],
    ids=lambda environ: ",".join(f"{name}={value}" for name, value in environ.items()),
)
def test_the_surroundings_do_not_change_the_verdict(
    project: Project, environ: dict[str, str]
) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: TWO", "expected: 'Zwölf → 12'"))
    done = project.evalkit("run", "echo.yaml", env=environ)
    assert done.code == 1
    assert "FAIL" in done.out.replace("\n", "")


def test_few_file_descriptors_are_enough(project: Project) -> None:
    write_set(project, 60)
    done = project.evalkit(
        "run", "set.yaml", preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    assert done.code == 0, done


def test_a_reader_that_goes_away_changes_nothing(project: Project) -> None:
    command = " ".join(project.command("run", "echo.yaml"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0"
    assert done.stderr == ""


def test_a_full_stdout_is_not_green(project: Project) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            project.command("run", "echo.yaml"),
            cwd=project.folder,
            env=project.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert "could not write the result" in done.stderr


def on_terminal(
    project: Project, *arguments: str, keys: bytes = b"", **env: str
) -> tuple[int, str]:
    """Run evalkit on a terminal of its own; what it printed there, and its exit code."""
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ({"TERM": "xterm", **env}),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    if keys:
        os.write(main, keys)
    shown = b""
    while True:
        try:
            block = os.read(main, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
    os.close(main)
    return process.wait(), shown.decode()


def test_a_terminal_gets_colour_and_a_bar_and_no_color_takes_the_colour(project: Project) -> None:
    code, shown = on_terminal(project, "run", "echo.yaml")
    assert code == 0
    assert "\x1b[" in shown
    code, plain = on_terminal(project, "run", "echo.yaml", NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*m", plain)
    assert "3 of 3" in shown
    assert "3 pass   0 fail   0 wait" in shown


def test_one_case_runs_under_the_debugger(project: Project) -> None:
    keys = b"p text\np __import__('os').environ['SHOP_API_KEY'][:4]\nc\n"
    code, shown = on_terminal(
        project, "run", "echo.yaml", "--case", "two", "--pdb", keys=keys, SHOP_API_KEY=SECRET
    )
    assert code == 0, shown
    assert "'two'" in shown
    assert f"'{SECRET[:4]}'" in shown
    assert "TWO" in shown
    refused = project.evalkit("run", "echo.yaml", "--pdb", "--case", "two")
    assert refused.code == 2
    assert "terminal" in refused.err


SECRET = "s3cr3t-canary-value"


@pytest.mark.parametrize("way", ["text", "data", "error", "base64"])
def test_a_secret_that_the_agent_gives_away_is_in_no_byte_we_write(
    project: Project, way: str
) -> None:
    project.write(
        "agent.py",
        f"""
        import base64, os

        def answer(text):
            secret = os.environ["SHOP_API_KEY"]
            if {way!r} == "error":
                raise ValueError("bad key " + secret)
            if {way!r} == "data":
                return {{"output": "x", "data": {{secret: [secret]}},
                        "tool_calls": [{{"name": "call", "arguments": secret}}]}}
            return base64.b64encode(secret.encode()).decode() if {way!r} == "base64" else secret
        """,
    )
    text = ECHO_SET.replace("answer}", "answer, env: [SHOP_API_KEY]}")
    project.write("echo.yaml", text)
    done = project.evalkit(
        "run",
        "echo.yaml",
        "--format",
        "json",
        "--junit",
        "j.xml",
        "--markdown",
        "m.md",
        env={"SHOP_API_KEY": SECRET},
    )
    assert done.code in (1, 3)
    shown = project.evalkit("show", "latest", "one", env={"SHOP_API_KEY": SECRET})
    written = [path.read_bytes() for path in project.folder.rglob("*") if path.is_file()]
    everything = b"".join([*written, done.out.encode(), done.err.encode(), shown.out.encode()])
    assert SECRET.encode() not in everything
    assert b"czNjcjN0LWNhbmFyeS12YWx1ZQ" not in everything
    assert b"***" in everything


TAGGED = """
    agent: {python: ./agent.py:answer}
    metrics: [exact_match, {contains: [E], name: has_e, tags: [e]}]
    gate:
      - {metric: exact_match, min: 0.5, test: point}
      - {metric: exact_match, tag: e, min: 0.5, test: point}
      - {metric: has_e, min: 0.5, test: point}
    cases:
      - {id: one, input: one, expected: ONE, tags: [e]}
      - {id: two, input: two, expected: TWO}
      - {id: three, input: three, expected: THREE, tags: [e]}
      - {id: four, input: four, expected: FOUR}
"""


def test_thresholds_on_what_was_not_selected_are_named_and_not_decided(project: Project) -> None:
    project.write("set.yaml", TAGGED)
    done = project.evalkit("run", "set.yaml", "--case", "two", "--case", "four")
    assert done.code == 0, done.out
    text = " ".join(done.out.split())
    assert "no selected case applies: exact_match [e], has_e" in text


def test_parts_with_different_metrics_merge_and_decide_nothing_alone(project: Project) -> None:
    project.write("set.yaml", TAGGED)
    project.write("agent.py", "def answer(text):\n    return '?'\n")
    for part in ("1/2", "2/2"):
        done = project.evalkit("run", "set.yaml", "--shard", part, "--run-id", f"p{part[0]}")
        assert done.code == 0, done
        assert "evalkit merge" in done.out
    merged = project.evalkit("merge", "p1", "p2", "--format", "json")
    assert merged.code == 1, merged
    assert len(merged.json["checks"]) == 3


def test_what_is_suggested_works_where_it_is_read(project: Project) -> None:
    project.write(".git/HEAD", "")
    project.write("sets/a set.yaml", ECHO_SET.replace("./agent.py", "./agent.py"))
    project.write("sets/agent.py", "def answer(text):\n    return text\n")
    for cwd in ("sets", "."):
        here = Project(project.folder / cwd)
        name = "a set.yaml" if cwd == "sets" else "sets/a set.yaml"
        done = here.evalkit("run", name, "--format", "json")
        for hint in done.json["next"]:
            words = shlex.split(hint["command"])
            assert words[0] == "evalkit"
            followed = here.evalkit(*words[1:])
            assert followed.code in (0, 1), (hint, followed)


def test_a_sharp_baseline_is_not_replaced_in_silence(project: Project) -> None:
    project.evalkit("baseline", "echo.yaml")
    done = project.evalkit("run", "echo.yaml", "--run-id", "single", "--format", "json")
    commands = [hint["command"] for hint in done.json["next"]]
    assert "evalkit baseline echo.yaml" in commands
    promoted = project.evalkit("baseline", "echo.yaml", "--from", "single")
    assert promoted.code == 0
    assert "had 10 trials" in promoted.out


def test_runs_of_different_sets_are_compared_with_a_warning(project: Project) -> None:
    project.write("other.yaml", ECHO_SET)
    project.evalkit("run", "echo.yaml", "--run-id", "a")
    project.evalkit("run", "other.yaml", "--run-id", "b")
    done = project.evalkit("diff", "a", "b")
    assert done.code == 0
    assert "two different sets: echo.yaml and other.yaml" in " ".join(done.out.split())


def test_a_stored_run_is_decided_again_by_the_settings_of_its_command_line(
    project: Project,
) -> None:
    project.write(
        "agent.py", "def answer(text):\n    assert text != 'two'\n    return text.upper()\n"
    )
    gated = (
        "    max_errors: 0\n    gate: [{metric: exact_match, min: 0.5, test: point}]\n    cases:"
    )
    project.write("echo.yaml", ECHO_SET.replace("    cases:", gated))
    assert project.evalkit("run", "echo.yaml").code == 3
    assert project.evalkit("run", "echo.yaml", "--max-errors", "1").code == 0
    assert project.evalkit("gate", "latest").code == 0
