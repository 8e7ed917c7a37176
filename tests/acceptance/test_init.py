"""`evalkit init`: what it writes runs, the command it prints works, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.conftest import Project


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    """A folder with nothing in it."""
    made = Project(tmp_path / "empty")
    made.folder.mkdir()
    return made


def type_in(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """What a shell does with a line that was copied from the screen."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=project.folder,
        env=project.environ({"PATH": path}),
        capture_output=True,
        check=False,
        text=True,
    )


def next_command(out: str) -> str:
    return out.partition("Next:\n")[2].strip()


def git(project: Project, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project.folder, check=True, capture_output=True)


@pytest.mark.parametrize("in_git", [False, True])
def test_the_command_it_prints_works_in_an_empty_folder(empty: Project, in_git: bool) -> None:
    if in_git:
        git(empty, "init", "-q")
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nPASS" in f"\n{done.stdout}"
    assert "10 passed" in done.stdout
    assert "warning" not in done.stderr
    assert (empty.folder / ".github/workflows/evalkit.yml").is_file()
    worse = (empty.folder / "evalsets/agent.py").read_text().replace("9 am", "9 pm")
    for text in ("8 pm", "4 weeks", "20 cents", "5 euros", "first floor"):
        worse = worse.replace(text, "no idea")
    (empty.folder / "evalsets/agent.py").write_text(worse)
    assert empty.evalkit("run", "evalsets/first.yaml").code == 1


def test_it_takes_the_agent_that_is_there(empty: Project) -> None:
    empty.write("src/my agent.py", "def reply(text):\n    return f'You said {text}'\n")
    started = empty.evalkit("init", "--agent", "src/my agent.py:reply")
    assert started.code == 0, started.err
    assert "../src/my agent.py:reply" in (empty.folder / "evalsets/first.yaml").read_text()
    assert not (empty.folder / "evalsets/agent.py").exists()
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout


def test_it_takes_agent_and_judge_of_the_project_file(empty: Project) -> None:
    empty.write("app.py", "def reply(text):\n    return text\n")
    empty.write("evalkit.yaml", "agent: {python: ./app.py:reply}\njudge: lexical\n")
    refused = empty.evalkit("init")
    assert (refused.code, "evalkit.yaml:1" in refused.err) == (2, True)
    empty.write("evalkit.yaml", "agent: {python: ../app.py:reply}\njudge: lexical\n")
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    lines = (empty.folder / "evalsets/first.yaml").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("agent:", "judge:"))]
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_folder_is_named_in_the_command(empty: Project) -> None:
    started = empty.evalkit("init", "new place/evals")
    assert started.code == 0, started.err
    done = type_in(empty, next_command(started.out))
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten_and_all_clashes_are_reported_at_once(empty: Project) -> None:
    empty.write("evalsets/first.yaml", "mine")
    empty.write("rubrics", "mine")
    (empty.folder / ".github").mkdir()
    (empty.folder / ".github/workflows").symlink_to("nowhere")
    before = sorted(empty.folder.rglob("*"))
    started = empty.evalkit("init", "--agent", "no.py:answer")
    assert started.code == 2
    for name in ("evalsets/first.yaml", "rubrics is not a folder", "workflows", "no file"):
        assert name in started.err
    assert sorted(empty.folder.rglob("*")) == before
    assert (empty.folder / "evalsets/first.yaml").read_text() == "mine"


@pytest.mark.parametrize("agent", ["", "answer", "a.py", "a b:c", "x.py:f\n- y"])
def test_what_is_no_entrypoint_is_refused(empty: Project, agent: str) -> None:
    assert empty.evalkit("init", "--agent", agent).code == 2
    assert list(empty.folder.iterdir()) == []


GITHUB_FILES = ["evalkit-accept.yml", "evalkit-baseline.yml", "evalkit.yml"]


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("git@github.com:o/r.git", GITHUB_FILES),
        ("https://token@github.example.com/o/r", GITHUB_FILES),
        ("https://gitlab.com/o/r.git", [".gitlab-ci.yml"]),
        ("ssh://git@gitlab.example.org:2222/o/r.git", [".gitlab-ci.yml"]),
        ("https://git.example.org/r.git", []),
    ],
)
def test_the_workflow_is_for_where_the_repository_is(
    empty: Project, url: str, files: list[str]
) -> None:
    git(empty, "init", "-q")
    git(empty, "remote", "add", "origin", url)
    started = empty.evalkit("init")
    assert started.code == 0, started.err
    found = {*empty.folder.rglob(".github/workflows/*"), *empty.folder.glob(".gitlab-ci.yml")}
    assert sorted(path.name for path in found) == files
    assert ("no workflow for git.example.org" in started.out) == (not files)


def test_forks_get_two_workflows_that_keep_code_and_secrets_apart(empty: Project) -> None:
    assert empty.evalkit("init", "--forks").code == 0
    workflows = empty.folder / ".github/workflows"
    assert {path.name for path in workflows.iterdir()} == {
        "evalkit-accept.yml",
        "evalkit-answers.yml",
        "evalkit-baseline.yml",
        "evalkit-gate.yml",
    }
    assert "WORKFLOW: evalkit-answers.yml" in (workflows / "evalkit-accept.yml").read_text()


@pytest.mark.parametrize("file", ["evalsets/first.yaml", "rubrics/agrees.yaml"])
def test_an_editor_finds_the_schema_and_is_content(empty: Project, file: str) -> None:
    assert empty.evalkit("init").code == 0
    text = (empty.folder / file).read_text()
    name = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((empty.folder / file).with_name(name).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))
