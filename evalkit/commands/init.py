"""`evalkit init`: what a repository already tells, turned into a set, a rubric and workflows that run."""

from __future__ import annotations

import os
import re
import shlex
from importlib.resources import files
from pathlib import Path

from evalkit import __version__
from evalkit.agents import check_agent
from evalkit.errors import InvalidInput
from evalkit.files import write_whole
from evalkit.findings import Started
from evalkit.loading.evalset import load_project_agent, load_project_judges
from evalkit.project import find_root, read_git_remote
from evalkit.records import Problem, Surroundings
from evalkit.world import World

SET = "evalsets/first.yaml"
_AGENT = "evalsets/agent.py"
_RUBRIC = "rubrics/agrees.yaml"
_WORKFLOWS = ".github/workflows"
_ACTION = ".github/actions/evalkit"
_GITLAB = ".gitlab-ci.yml"

_ENTRYPOINT = re.compile(r"(?P<file>[^:]+\.py):\w[\w.]*|[\w.]+:\w[\w.]*")


def init(folder: Path, agent: str | None, *, forks: bool, world: World) -> Started:
    """Write a set that runs, into a folder that has none.

    Raises:
        InvalidInput: a file is there already, or the agent is not; says all of it, and writes nothing.
    """
    folder = world.cwd / folder
    problems: list[Problem] = []
    reference = _reference_from_set(agent, folder, world.cwd, problems) if agent else None
    root = find_root(folder, folder)
    shared = load_project_agent(folder / SET, root, problems) if reference is None else None
    if shared is not None and shared.kind == "python":
        here = Surroundings(root=root, base=(folder / SET).parent, environ=world.environ)
        problems += check_agent(shared, (), here)
    judged = bool(load_project_judges(folder / SET, root, []))
    host = read_git_remote(folder, world.environ)
    texts = {
        SET: _set_text(reference, shared=bool(shared), judged=judged),
        _RUBRIC: _read("agrees.yaml"),
    }
    if reference is None and not shared:
        texts[_AGENT] = _read("agent.py")
    texts |= _workflows(host, forks=forks)
    problems += _find_clashes(folder, texts)
    if problems:
        raise InvalidInput(problems)
    for name, text in texts.items():
        write_whole(folder / name, text)
    return Started(
        written=tuple(texts),
        commands=_next_commands(folder, world.cwd),
        notes=_notes(host, texts),
    )


def _reference_from_set(agent: str, folder: Path, cwd: Path, problems: list[Problem]) -> str:
    """The user's entrypoint, a path in it as the set spells it: from the set's folder."""
    match = _ENTRYPOINT.fullmatch(agent)
    if match is None:
        message = f"--agent {agent!r} is no entrypoint. Write ./file.py:function or package.module:function."
        problems.append(Problem(message=message))
        return agent
    if match["file"] is None:
        return agent
    file = cwd / match["file"]
    if not file.is_file():
        problems.append(Problem(message=f"--agent {agent!r}: there is no file {file}."))
    relative = os.path.relpath(file.resolve(), (folder / SET).parent.resolve())
    return f"{relative if relative.startswith('.') else f'./{relative}'}:{agent.rpartition(':')[2]}"


def _set_text(reference: str | None, *, shared: bool, judged: bool) -> str:
    own = reference is not None or shared
    text = _read("own.yaml" if own else "first.yaml")
    entrypoint = reference or "./agent.py:answer"
    agent = "# The agent is that of evalkit.yaml." if shared else _agent_text(entrypoint)
    judge = "# The judge is that of evalkit.yaml."
    if not judged:
        judge = (
            "# Compares words and understands nothing, but needs no key; a model: {openai: {model: ...}}\n"
            "judge: lexical"
        )
    return text.replace("{{agent}}", agent).replace("{{judge}}", judge)


def _agent_text(entrypoint: str) -> str:
    quoted = entrypoint.replace("'", "''")
    return f"agent:\n  python: '{quoted}'\n  timeout_s: 60"


def _workflows(host: str, *, forks: bool) -> dict[str, str]:
    """The files of the forge that the repository is on; GitHub's where it is not known."""
    if "gitlab" in host:
        return {_GITLAB: _read("gitlab.yml")}
    if host and "github" not in host:
        return {}
    action = {f"{_ACTION}/{name}": _read(f"action/{name}") for name in ("action.yml", "run.py")}
    if forks:
        return {
            f"{_WORKFLOWS}/evalkit-answers.yml": _read("answers.yml"),
            f"{_WORKFLOWS}/evalkit-gate.yml": _read("gate.yml"),
            **action,
        }
    return {f"{_WORKFLOWS}/evalkit.yml": _read("trusted.yml"), **action}


def _read(name: str) -> str:
    text = files("evalkit.templates").joinpath(name).read_text(encoding="utf-8")
    return text.replace("{{version}}", __version__)


def _find_clashes(folder: Path, names: dict[str, str]) -> list[Problem]:
    """Every file that is there already, and every place where no file can be."""
    messages = []
    if os.path.lexists(folder) and not folder.is_dir():
        return [Problem(message=f"{folder} is no folder. Name one to start in.")]
    for name in names:
        path = folder / name
        if os.path.lexists(path):
            messages.append(f"{path} is there already. Nothing is overwritten; move it away.")
            continue
        above = [folder / part for part in Path(name).parents if part != Path()]
        messages += [
            f"{part} is no folder, and {name} belongs into it. Move it away."
            for part in above
            if os.path.lexists(part) and not part.is_dir()
        ]
    return [Problem(message=message) for message in dict.fromkeys(messages)]


def _next_commands(folder: Path, cwd: Path) -> tuple[str, ...]:
    path = shlex.quote(os.path.relpath(folder.resolve() / SET, cwd.resolve()))
    return (f"evalkit baseline {path} && evalkit run {path}",)


def _notes(host: str, texts: dict[str, str]) -> tuple[str, ...]:
    if any(name.startswith((_WORKFLOWS, _GITLAB)) for name in texts):
        return ()
    return (f"No workflow for {host}: run the commands above in it, with --junit FILE.",)
