"""`evalkit init`: write a first set, a rubric and CI workflows that run in this repository."""

from __future__ import annotations

import os
import re
import shlex
from importlib.resources import files
from pathlib import Path

from evalkit import __version__
from evalkit.agents.registry import check_agent
from evalkit.commands.schema import SUFFIX, read_schema
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import write_atomically
from evalkit.core.location import Problem
from evalkit.core.project import read_git_remote
from evalkit.core.run import RunEnvironment
from evalkit.evalset.loader import load_project_agent, load_project_judges
from evalkit.evalset.project import Project
from evalkit.report.init import InitResult

SET_FILE = "evalsets/first.yaml"
_AGENT_FILE = "evalsets/agent.py"
_RUBRIC_FILE = "rubrics/agrees.yaml"
_WORKFLOWS_FOLDER = ".github/workflows"
_ACTION_FOLDER = ".github/actions/evalkit"
_GITLAB_FILE = ".gitlab-ci.yml"

_ENTRYPOINT = re.compile(r"(?P<file>[^:]+\.py):\w[\w.]*|[\w.]+:\w[\w.]*")


def init(folder: Path, agent: str | None, *, forks: bool, context: Context) -> InitResult:
    """Write a first set and its files into a folder.

    Raises:
        InvalidInput: a file already exists, or the agent does not; lists every problem and writes nothing.
    """
    folder = context.cwd / folder
    problems: list[Problem] = []
    ref = _build_entrypoint(agent, folder, context.cwd, problems) if agent else None
    # Search upward from the folder, whatever the current folder is.
    root = Project(folder, folder, context.environ).root
    shared = load_project_agent(folder / SET_FILE, root, problems) if ref is None else None
    if shared is not None and shared.kind == "python":
        environment = RunEnvironment(
            root=root, set_folder=(folder / SET_FILE).parent, environ=context.environ
        )
        problems += check_agent(shared, (), environment)
    judged = bool(load_project_judges(folder / SET_FILE, root, []))
    host = read_git_remote(folder, context.environ)
    texts = {
        **_with_schema(SET_FILE, "evalset", _set_text(ref, shared=bool(shared), judged=judged)),
        **_with_schema(_RUBRIC_FILE, "rubric", _read_template("agrees.yaml")),
    }
    if ref is None and not shared:
        texts[_AGENT_FILE] = _read_template("agent.py")
    workflows = _build_workflows(host, forks=forks)
    texts |= workflows
    problems += _find_clashes(folder, texts)
    if problems:
        raise InvalidInput(problems)
    # Write last, when only the disk can still fail.
    for name, text in texts.items():
        write_atomically(folder / name, text)
    path = shlex.quote(os.path.relpath(folder.resolve() / SET_FILE, context.cwd.resolve()))
    return InitResult(
        written=tuple(texts),
        commands=(f"evalkit baseline {path} && evalkit run {path}",),
        notes=()
        if workflows
        else (
            f"There is no workflow for {host}. Run the commands above in its CI, with --junit FILE.",
        ),
    )


def _build_entrypoint(agent: str, folder: Path, cwd: Path, problems: list[Problem]) -> str:
    """Return the user's entrypoint with a path that starts from the set's folder."""
    match = _ENTRYPOINT.fullmatch(agent)
    if match is None:
        message = f"--agent {agent!r} is not an entrypoint. Write ./file.py:function or package.module:function."
        problems.append(Problem(message=message))
        return agent
    if match["file"] is None:
        return agent
    file = cwd / match["file"]
    if not file.is_file():
        problems.append(Problem(message=f"--agent {agent!r}: there is no file {file}."))
    relative = os.path.relpath(file.resolve(), (folder / SET_FILE).parent.resolve())
    return f"{relative if relative.startswith('.') else f'./{relative}'}:{agent.rpartition(':')[2]}"


def _set_text(ref: str | None, *, shared: bool, judged: bool) -> str:
    own = ref is not None or shared
    text = _read_template("own.yaml" if own else "first.yaml")
    agent = "# The agent is the one in evalkit.yaml."
    if not shared:
        quoted = (ref or "./agent.py:answer").replace("'", "''")
        agent = f"agent:\n  python: '{quoted}'\n  timeout_s: 60"
    judge = "# The judge is the one in evalkit.yaml."
    if not judged:
        judge = (
            "# Compares words and needs no key. To use a model: {openai: {model: ...}}\n"
            "judge: lexical"
        )
    return text.replace("{{agent}}", agent).replace("{{judge}}", judge)


def _with_schema(file: str, schema: str, text: str) -> dict[str, str]:
    """Return a YAML file whose first line names its schema for editors, and the schema beside it."""
    name = f"{schema}{SUFFIX}"
    return {
        file: f"# yaml-language-server: $schema={name}\n{text}",
        str(Path(file).with_name(name)): read_schema(schema),
    }


def _build_workflows(host: str, *, forks: bool) -> dict[str, str]:
    """Return the files for the repository's host, by name; for GitHub if the host is unknown."""
    if "gitlab" in host:
        return {_GITLAB_FILE: _read_template("gitlab.yml")}
    if host and "github" not in host:
        return {}
    action = {
        f"{_ACTION_FOLDER}/{name}": _read_template(f"action/{name}")
        for name in ("action.yml", "notice.py", "pull_request.py", "run.py")
    }
    workflows = {"evalkit.yml": "trusted.yml"}
    if forks:
        workflows = {"evalkit-answers.yml": "answers.yml", "evalkit-gate.yml": "gate.yml"}
    # The workflow that runs the agent of a pull request.
    first = next(iter(workflows))
    workflows |= {"evalkit-accept.yml": "accept.yml", "evalkit-baseline.yml": "baseline.yml"}
    return {
        **{
            f"{_WORKFLOWS_FOLDER}/{name}": _read_template(workflows[name]).replace(
                "{{workflow}}", first
            )
            for name in workflows
        },
        **action,
    }


def _read_template(name: str) -> str:
    text = files("evalkit.ci.templates").joinpath(name).read_text(encoding="utf-8")
    return text.replace("{{version}}", __version__)


def _find_clashes(folder: Path, names: dict[str, str]) -> list[Problem]:
    """Return every file that already exists, and every path where no file can be written."""
    messages = []
    if os.path.lexists(folder) and not folder.is_dir():
        return [Problem(message=f"{folder} is not a folder. Name a folder to write to.")]
    for name in names:
        path = folder / name
        if os.path.lexists(path):
            messages.append(f"{path} already exists. Nothing is overwritten; move it away.")
            continue
        above = [folder / part for part in Path(name).parents if part != Path()]
        messages += [
            f"{part} is not a folder, so {name} cannot be written. Move it away."
            for part in above
            if os.path.lexists(part) and not part.is_dir()
        ]
    return [Problem(message=message) for message in dict.fromkeys(messages)]
