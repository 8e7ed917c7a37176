"""The GitHub Action and the workflows that init writes: pinned, sparing of permissions, and true to the gate."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.ci.workflow_files import read_action_files
from tests.acceptance.test_repository import (
    PIN,
    PINNED_ACTION,
    WORKFLOWS,
    steps_of,
    write_program,
)
from tests.conftest import Project
from tests.support.paths import ROOT

TEMPLATES = ROOT / "evalkit" / "ci" / "templates"
ACTION = ROOT / ".github" / "actions" / "evalkit"
NAMES = ("trusted", "answers", "gate", "accept", "baseline")

every_template = pytest.mark.parametrize("name", NAMES)


def read_template(name: str) -> dict[Any, Any]:
    text = (TEMPLATES / f"{name}.yml").read_text()
    workflow = yaml.safe_load(text.replace("{{workflow}}", "evalkit.yml"))
    assert isinstance(workflow, dict)
    return workflow


def action_steps() -> list[dict[str, Any]]:
    steps = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]
    assert isinstance(steps, list)
    return steps


def all_steps(name: str) -> list[dict[str, Any]]:
    return action_steps() if name == "action" else list(steps_of(read_template(name)))


def test_the_package_carries_the_action_as_it_is() -> None:
    """So does every repository that `init` writes to."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in ACTION.rglob("*")
        if path.suffix != ".pyc" and path.is_file()
    }
    assert read_action_files() == files


@pytest.mark.parametrize("name", [*NAMES, "action"])
def test_whatever_is_used_is_pinned_and_no_input_reaches_a_shell(name: str) -> None:
    steps = all_steps(name)
    used = [step["uses"] for step in steps if "uses" in step]
    assert [each for each in used if not PINNED_ACTION.match(each)] in (
        [],
        ["./.github/actions/evalkit"],
    )
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


def test_pins_are_those_of_our_own_workflows() -> None:
    ours = {pin for path in WORKFLOWS for pin in PIN.findall(path.read_text())}
    files = [TEMPLATES / f"{name}.yml" for name in NAMES] + [ACTION / "action.yml"]
    pins = {pin for path in files for pin in PIN.findall(path.read_text())}
    assert len(pins) == 5
    versions: dict[str, set[tuple[str, str]]] = {}
    for action, commit, version in ours | pins:
        versions.setdefault(action, set()).add((commit, version))
    assert all(len(each) == 1 for each in versions.values()), versions


@every_template
def test_a_template_gives_a_job_no_more_than_it_needs(name: str) -> None:
    workflow = read_template(name)
    assert workflow["permissions"] == {"contents": "read"}
    may_write = {
        job: {scope for scope, what in each.get("permissions", {}).items() if what == "write"}
        for job, each in workflow["jobs"].items()
    }
    assert (
        may_write
        == {
            "trusted": {"evals": {"pull-requests"}},
            "answers": {"answers": set()},
            "gate": {"gate": {"pull-requests", "statuses"}},
            "accept": {"accept": {"actions"}},
            "baseline": {"record": set(), "propose": {"contents", "pull-requests"}},
        }[name]
    )
    steps = all_steps(name)
    # Only what has nothing of the pull request may run with the rights of the target branch.
    if name == "accept":
        assert not any("uses" in step for step in steps)
    else:
        assert "pull_request_target" not in workflow[True]
    assert all(0 < job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
            assert "ref" not in step["with"]


def test_whoever_records_a_baseline_runs_the_agent_in_a_job_that_cannot_write() -> None:
    record, propose = (read_template("baseline")["jobs"][name] for name in ("record", "propose"))
    assert propose["needs"] == "record"
    assert "secrets." not in str(propose)
    assert "{{record}}" in str(record)
    commands = "".join(step.get("run", "") for step in propose["steps"])
    assert not re.search(r"(pip|python|evalkit) ", commands)
    [upload] = [s for s in record["steps"] if "upload-artifact" in s.get("uses", "")]
    [download] = [s for s in propose["steps"] if "download-artifact" in s.get("uses", "")]
    assert upload["with"]["name"] == download["with"]["name"]
    # The artifact begins where its first wildcard is.
    assert (upload["with"]["path"], download["with"]["path"]) == (
        "{{baselines}}",
        "{{baselines_top}}",
    )


@pytest.mark.parametrize("name", ["trusted", "gate"])
def test_a_failed_step_before_the_action_is_told_to_it(name: str) -> None:
    *_, action = all_steps(name)
    assert action["if"] == "${{ !cancelled() }}"
    assert "job.status != 'success'" in action["with"]["blocked"]
    label = read_template("accept")["jobs"]["accept"]["if"]
    assert f"'{action['with']['accept-label']}'" in label


def test_a_label_runs_the_evals_of_its_commit_again(tmp_path: Path) -> None:
    [step] = all_steps("accept")
    log = tmp_path / "log"
    write_program(tmp_path / "gh", f'echo "$*" >> {log}\n[ "$1" = api ] && echo 99; exit 0')
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HEAD": "abc", "WORKFLOW": "evalkit.yml"}
    subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        env={**environ, "GITHUB_REPOSITORY": "o/r"},
        check=True,
        timeout=60,
    )
    asked, rerun = log.read_text().splitlines()
    assert asked.startswith("api repos/o/r/actions/workflows/evalkit.yml/runs?")
    assert "head_sha=abc" in asked
    assert rerun == "run rerun 99 --repo o/r"


def test_with_forks_whoever_runs_their_code_has_no_secret_and_whoever_has_one_runs_none() -> None:
    answers, gate = (TEMPLATES / f"{name}.yml" for name in ("answers", "gate"))
    assert "secrets." not in answers.read_text()
    assert "github.token" not in answers.read_text()
    workflow = read_template("gate")
    assert set(workflow[True]) == {"workflow_run"}
    assert workflow[True]["workflow_run"]["workflows"] == [read_template("answers")["name"]]
    steps = all_steps("gate")
    [upload] = [s for s in all_steps("answers") if "upload-artifact" in s.get("uses", "")]
    [download] = [s for s in steps if "download-artifact" in s.get("uses", "")]
    assert upload["with"]["name"] == download["with"]["name"]
    # Unpacked outside of the checkout, where no file of it can stand in for one of ours.
    assert download["with"]["path"].startswith("${{ runner.temp }}/")
    assert steps[-1]["with"]["answers"] == download["with"]["path"]
    assert not re.search(r"head_ref|head\.ref|head_branch", gate.read_text())


def test_reports_are_kept_whatever_the_gate_decided() -> None:
    *_, keep, last = action_steps()
    assert "always()" in last["if"]
    assert keep["if"].startswith("${{ !cancelled()")
    assert keep["with"]["include-hidden-files"] is True


def test_python_imports_nothing_from_the_checkout() -> None:
    commands = [step["run"] for step in action_steps() if "run" in step]
    pythons = [line for text in commands for line in text.splitlines() if "python" in line]
    assert len(pythons) == 4
    assert all(re.search(r"^(run: )?\s*python -EP ", line) for line in pythons), pythons
    assert not any(re.search(r"(^|\s)pip ", line.replace("-m pip ", "")) for line in pythons)


def read_outputs(path: Path) -> dict[str, str]:
    """As the runner reads them: name, delimiter, lines up to it."""
    found = re.findall(r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", path.read_text(), re.MULTILINE | re.DOTALL)
    return {name: value for name, _, value in found}


class Step:
    """The step of the action that runs evalkit, in a project, with an `evalkit` on PATH."""

    def __init__(self, project: Project, evalkit: str) -> None:
        self.project = project
        self.temporary = project.folder.parent
        write_program(self.temporary / "bin" / "evalkit", f'[ "$1" = base ] && exit 0\n{evalkit}')
        self.output = self.temporary / "output"
        self.environ: dict[str, str] = {}

    def run(self, path: str | None = None, **inputs: str) -> subprocess.CompletedProcess[str]:
        process = self.start(path, **inputs)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, path: str | None = None, **inputs: str) -> subprocess.Popen[str]:
        self.output.write_text("")
        environ = self.project.environ(
            {
                **{
                    name if name == "PYTHONPATH" else f"EVALKIT_{name}": text
                    for name, text in inputs.items()
                },
                **self.environ,
                "GITHUB_OUTPUT": str(self.output),
                "GITHUB_STEP_SUMMARY": str(self.temporary / "summary.md"),
            }
        )
        environ["PATH"] = f"{self.temporary / 'bin'}:{environ['PATH']}"
        if path is not None:
            environ["PATH"] = f"{path}:{environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-EP", str(ACTION / "step.py"), "run"],
            cwd=self.project.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.mark.parametrize(
    ("codes", "ended", "worst"),
    [
        ([0, 0], 0, 0),
        ([0, 1], 0, 1),
        ([3, 1], 0, 1),
        ([0, 3], 0, 3),
        ([4, 3], 0, 4),
        ([1, 2], 0, 2),
        ([2, 70], 0, 70),
        ([130, 1], 0, 130),
        ([0, 9], 0, 9),
        ([0, None], 0, 3),
        ([0, 0], 3, 3),
        ([0, 5], 0, 0),
        ([5, 5], 5, 5),
        ([], 0, 2),
    ],
)
def test_of_several_sets_the_worst_of_the_exit_code_and_every_report_counts(
    project: Project, codes: list[int | None], ended: int, worst: int
) -> None:
    """Of the sets in which no case is selected, none counts unless that holds for all."""
    runs = [
        {
            "path": f"{number}.yaml",
            "state": "nothing_selected" if code == 5 else "decided",
            "exit_code": code or 0,
            "report": None if code in (5, None) else {"outcome": "pass", "exit_code": code},
        }
        for number, code in enumerate(codes)
    ]
    document = json.dumps({"outcome": "pass", "exit_code": 0, "runs": runs})
    step = Step(project, f"echo '{document}'; exit {ended}")
    done = step.run(SETS="\n".join(f"{number}.yaml" for number, _ in enumerate(codes)))
    assert done.returncode == worst, done.stderr
    outputs = read_outputs(step.output)
    assert outputs["exit-code"] == str(worst)
    assert (outputs["verdict"] == "pass") == (worst == 0)


def test_an_agent_that_writes_the_outputs_of_the_step_does_not_make_it_pass(
    project: Project,
) -> None:
    step = Step(project, "")
    # The path is not in the environment of evalkit, but every process of the user can find it.
    forged = f"printf 'exit-code=0\\nverdict=pass\\n' >> {step.output}"
    write_program(
        step.temporary / "bin" / "evalkit",
        f'[ "$1" = base ] && exit 0\n({forged}; sleep 0.5; {forged}) >&- 2>&- &\nexit 1',
    )
    assert step.run(SETS="a.yaml").returncode == 1


@pytest.mark.parametrize(
    ("code", "report", "told"),
    [
        (0, {"outcome": "pass", "exit_code": 0}, ("0", "pass")),
        (0, {"outcome": "inconclusive", "exit_code": 0}, ("0", "inconclusive")),
        (0, {"outcome": "fail", "exit_code": 1}, ("1", "fail")),
        (0, {"outcome": "fail", "exit_code": 0}, ("1", "fail")),
        (0, {"outcome": "undecided", "exit_code": 4}, ("4", "undecided")),
        (0, {"outcome": "pass", "exit_code": 3}, ("3", "undecided")),
        (0, {"outcome": "pass", "exit_code": "0"}, ("3", "undecided")),
        (0, {"exit_code": 0}, ("3", "undecided")),
        (0, None, ("3", "undecided")),
        (1, {"outcome": "pass", "exit_code": 0}, ("1", "fail")),
        (4, {"outcome": "pass", "exit_code": 0}, ("4", "undecided")),
        (1, None, ("1", "fail")),
    ],
)
def test_the_worse_of_exit_code_and_report_counts(
    project: Project, code: int, report: dict[str, Any] | None, told: tuple[str, str]
) -> None:
    printed = "" if report is None else f"echo '{json.dumps(report)}'"
    step = Step(project, f"{printed}\nexit {code}")
    # A report that is there already, as if a run had written it.
    old = project.write(".evalkit/report/1-a/report.json", '{"outcome": "pass", "exit_code": 0}')
    stray = project.write(".evalkit/report/1-a/junit.xml", "<testsuites/>")
    step.run(SETS="a.yaml")
    outputs = read_outputs(step.output)
    assert (outputs["exit-code"], outputs["verdict"]) == told
    assert old.read_text() == ("" if report is None else f"{json.dumps(report)}\n")
    assert not stray.exists()


def test_the_base_is_found_once_before_any_set_and_the_arguments_cannot_replace_it(
    project: Project,
) -> None:
    log = project.folder / "log"
    step = Step(
        project,
        f'echo "$*" >> {log}\n'
        """[ "$1" = run ] && echo '{"run": {"id": "r1"}, "outcome": "pass"}'; exit 0""",
    )
    write_program(
        step.temporary / "bin" / "evalkit",
        f'echo "$*" >> {log}\n'
        '[ "$1" = base ] && echo 0123456789 && exit 0\n'
        """[ "$1" = run ] && echo '{"run": {"id": "r1"}, "outcome": "pass"}'; exit 0""",
    )
    step.run(SETS="a.yaml\nb.yaml", COMMENT="always", COMMENT_TOKEN="t", ARGS="--base evil -k x")
    lines = log.read_text().splitlines()
    assert lines[0] == "base --base evil"
    assert [line.split()[0] for line in lines[1:]] == ["run", "gate", "comment"]
    assert lines[1].split()[1:3] == ["a.yaml", "b.yaml"]
    assert all(line.split()[-1] == "--base=0123456789" or "--post" in line for line in lines[1:])
    assert sum("evil" in line for line in lines[1:]) == 1  # the run, before the commit


def test_without_the_base_no_set_is_run(project: Project) -> None:
    log = project.folder / "log"
    step = Step(project, "exit 0")
    write_program(step.temporary / "bin" / "evalkit", f'echo "$1" >> {log}; exit 2')
    step.run(SETS="a.yaml\nb.yaml")
    assert log.read_text() == "base\n"
    assert read_outputs(step.output)["exit-code"] == "2"


@pytest.mark.parametrize("place", ["bin", ".", ""])
def test_a_program_of_the_checkout_does_not_replace_evalkit(project: Project, place: str) -> None:
    step = Step(project, "exit 1")
    write_program(project.folder / place / "evalkit", """echo '{"outcome": "pass"}'""")
    # Absolute, relative, and empty: the current folder.
    first = str(project.folder / place) if place == "bin" else place
    step.run(SETS="a.yaml", path=first)
    assert read_outputs(step.output)["exit-code"] == "1"


def test_a_module_of_the_checkout_does_not_replace_one_of_evalkit(project: Project) -> None:
    for name in ("json", "typer", "evalkit"):
        project.write(f"{name}.py", 'print(\'{"outcome": "pass"}\')\nraise SystemExit(0)\n')
    step = Step(project, "")
    script = "import sys\nfrom evalkit.__main__ import main\nsys.exit(main())\n"
    program = step.temporary / "bin" / "evalkit"
    program.write_text(f"#!{sys.executable}\n{script}")
    step.run(SETS="missing.yaml", PYTHONPATH=".")
    assert read_outputs(step.output)["exit-code"] == "2"


def test_only_the_comment_gets_the_token_that_may_write_and_all_decide_alike(
    project: Project,
) -> None:
    log = project.folder / "log"
    step = Step(
        project,
        f'echo "$1 ${{GITHUB_TOKEN-none}} ${{EVALKIT_COMMENT_TOKEN-none}} $*" >> {log}\n'
        """[ "$1" = run ] && echo '{"run": {"id": "r1"}, "outcome": "pass"}'; exit 0""",
    )
    step.run(SETS="a.yaml", COMMENT="changed", COMMENT_TOKEN="secret", BASE="x y", ARGS="-k 'a b'")
    lines = log.read_text().splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["run", "none", "none"],
        ["gate", "none", "none"],
        ["comment", "secret", "none"],
    ]
    assert lines[0].endswith("-k a b")
    assert "--only-changes" in lines[2]
    log.unlink()
    step.run(
        SETS="a.yaml",
        COMMENT="always",
        COMMENT_TOKEN="secret",
        ARGS="--trials 3 --baseline b.jsonl --allow-missing-baseline --require-base",
    )
    decided = "--baseline b.jsonl --allow-missing-baseline --require-base"
    assert [line.endswith(decided) for line in log.read_text().splitlines()] == [True] * 3
    log.unlink()
    step.run(SETS="a.yaml", COMMENT="never", COMMENT_TOKEN="secret")
    assert "secret" not in log.read_text()


def test_a_value_cannot_end_its_own_output(project: Project) -> None:
    step = Step(
        project, """echo '{"outcome": "pass\\nend-\\nexit-code=0", "metrics": []}'; exit 1"""
    )
    step.run(SETS="a\n.yaml")
    outputs = read_outputs(step.output)
    assert set(outputs) == {"verdict", "exit-code", "report", "metrics"}
    assert outputs["exit-code"] == "1"


def test_the_step_runs_a_set_with_all_reports_and_fails_no_earlier_than_it_has_to(
    project: Project,
) -> None:
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
    )
    step = Step(project, f'exec {sys.executable} -m evalkit "$@"')
    done = step.run(SETS="echo.yaml", ARGS="--trials 1", COMMENT="always", COMMENT_TOKEN="t")
    assert done.returncode == 1, done.stderr
    outputs = read_outputs(step.output)
    assert (outputs["verdict"], outputs["exit-code"]) == ("fail", "1")
    assert json.loads(outputs["metrics"])["echo.yaml"]["exact_match"] == pytest.approx(2 / 3)
    assert "::error file=echo.yaml,line=6" in done.stdout
    assert "FAIL" in (step.temporary / "summary.md").read_text()
    reports = {path.name for path in (project.folder / outputs["report"] / "1-echo").iterdir()}
    assert reports == {"junit.xml", "report.html", "cases.csv", "ctrf.json", "report.json"}
    assert (
        "GITHUB_REPOSITORY" in done.stderr
    )  # the comment had nowhere to go, and nothing came of it


@pytest.mark.slow
def test_the_agent_of_the_first_set_cannot_move_the_base_of_the_second(
    project: Project, git: Callable[..., str]
) -> None:
    project.write(
        "second.yaml", (project.folder / "echo.yaml").read_text() + "gate: [{must_pass: all}]\n"
    )
    project.write(".gitignore", ".evalkit/\n__pycache__/\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "base")
    git("clone", "-q", "--bare", ".", "../hub.git")
    git("remote", "add", "origin", "../hub.git")
    git("checkout", "-q", "--detach")
    moved = ("refs/remotes/origin/main", "refs/tags/origin/main", "refs/heads/main")
    commands = [["update-ref", ref, "HEAD"] for ref in moved]
    commands.append(["push", "-q", "-f", "origin", "HEAD:main"])
    project.write(
        "agent.py",
        f"""
        import subprocess

        def answer(text):
            for command in {commands}:
                subprocess.run(["git", *command], cwd={str(project.folder)!r}, check=True)
            return text.upper() if text != "two" else "?"
        """,
    )
    second = (project.folder / "second.yaml").read_text()
    project.write("second.yaml", second.replace("must_pass: all", "metric: exact_match, min: 0.1"))
    git("commit", "-qam", "worse, and looser")
    change, base = git("rev-parse", "HEAD", "HEAD~1").split()
    step = Step(project, "")
    write_program(step.temporary / "bin" / "evalkit", f'exec {sys.executable} -m evalkit "$@"')
    step.environ = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    step.run(SETS="echo.yaml\nsecond.yaml", ARGS="--require-base --allow-missing-baseline")
    assert git("ls-remote", "origin", "refs/heads/main").split()[0] == change
    reports = project.folder / ".evalkit" / "report"
    [document] = [json.loads(path.read_text()) for path in reports.glob("*/report.json")]
    gates = [each["report"] for each in document["runs"]]
    assert [each["gate"]["commit"] for each in gates] == [base] * 2
    assert gates[1]["exit_code"] == 4
    assert read_outputs(step.output)["exit-code"] in ("1", "4")


def test_the_step_decides_on_answers_that_were_made_elsewhere(project: Project) -> None:
    assert project.evalkit("ask", "echo.yaml", "--run-id", "answers").code == 0
    elsewhere = (project.folder / ".evalkit/runs/answers").rename(project.folder.parent / "answers")
    step = Step(project, f'exec {sys.executable} -m evalkit "$@"')
    step.run(SETS="echo.yaml", ANSWERS=str(elsewhere))
    outputs = read_outputs(step.output)
    assert (outputs["verdict"], outputs["exit-code"]) == ("pass", "0")
    (elsewhere / "summary.json").unlink()
    step.run(SETS="echo.yaml", ANSWERS=str(elsewhere))
    outputs = read_outputs(step.output)
    assert (outputs["verdict"], outputs["exit-code"]) == ("undecided", "3")
