"""Check an entrypoint that the user typed, without importing its module."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from evalkit.core.location import Problem
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.worker.defined_names import (
    describe_missing_name,
    find_module_file,
    read_defined_names,
)
from evalkit.worker.missing_module import describe_missing_module
from evalkit.worker.module_paths import list_modules
from evalkit.worker.user_code import suggest_near_name

_ENTRYPOINT = re.compile(r"(?P<file>[^:]+\.py):(?P<name>\w[\w.]*)|(?P<module>[\w.]+):\w[\w.]*")
_MAX_CANDIDATES = 5
_MAX_SCANNED_FILES = 50


def check_entrypoint(
    agent: str, base: Path, *, root: Path, cwd: Path, problems: list[Problem]
) -> str:
    """Return an entrypoint whose path starts from `cwd` as one whose path starts from `base`.

    What is wrong with it is added to `problems`.
    """
    match = _ENTRYPOINT.fullmatch(agent)
    if match is None:
        problems.append(Problem(message=_describe_form(agent, cwd)))
        return agent
    if match["module"]:
        message = _find_module_problem(agent, base, root)
    else:
        path = cwd / match["file"]
        message = _find_file_problem(path, match["file"], match["name"])
        if not message and not path.resolve().is_relative_to(root):
            message = (
                f"{match['file']} is outside of the project {str(root)!r}. Run `evalkit init` in a "
                "folder above both."
            )
        relative = os.path.relpath(path.resolve(), base.resolve())
        agent = f"{relative if relative.startswith('.') else f'./{relative}'}:{match['name']}"
    if message:
        problems.append(Problem(message=f"--agent: {message}"))
    return agent


def find_name_problem(ref: str, base: Path, root: Path) -> str:
    """Return why an entrypoint, whose path starts from `base`, names nothing; empty if it may do so.

    A module that is not in the project may be installed elsewhere.
    """
    place, _, name = ref.rpartition(":")
    if place.endswith(".py"):
        return _find_file_problem(base / place, place, name)
    source = find_module_file(place, base, root)
    return describe_missing_name(read_file(source), display_path(source), name) if source else ""


def _find_file_problem(path: Path, place: str, name: str) -> str:
    try:
        return describe_missing_name(read_file(path), place, name)
    except UnreadableFile as error:
        return f"{place} {error}"


def _find_module_problem(agent: str, base: Path, root: Path) -> str:
    module, _, name = agent.rpartition(":")
    source = find_module_file(module, base, root)
    if source is not None:
        return describe_missing_name(read_file(source), display_path(source), name)
    package, _, last = module.rpartition(".")
    init = find_module_file(package, base, root) if package else None
    if init is not None:
        known = list_modules([init.parent])
        return f"the package {package!r} has no module {last!r}.{suggest_near_name(last, known)}"
    # This imports nothing, because the name has no dot.
    top = module.partition(".")[0]
    if top in sys.builtin_module_names or (top and importlib.util.find_spec(top) is not None):
        return ""
    return describe_missing_module(agent, top, base, root)


def _describe_form(agent: str, cwd: Path) -> str:
    """Return what is missing in something that is no entrypoint, such as the name of a file alone."""
    path = cwd / agent
    if agent.endswith(".py") and path.is_file():
        functions = _list_candidates([path], cwd)
        return (
            f"--agent {agent} does not name a function. Write {functions[0]}."
            if functions
            else f"--agent {agent} does not name a function, and the file defines none."
        )
    return (
        f"--agent {agent!r} is not an entrypoint. Write ./file.py:function, "
        f"package.module:function, or http://host/path.{_suggest_candidates(cwd)}"
    )


def ask_for_agent(cwd: Path) -> str:
    """Return that `--from` needs an agent, and which functions there are."""
    return (
        "--from needs the agent that answers the questions. Add --agent ./file.py:function."
        f"{_suggest_candidates(cwd)}"
    )


def _suggest_candidates(cwd: Path) -> str:
    """Return a sentence with the functions in the files of the current folder, after a space."""
    found = _list_candidates(sorted(cwd.glob("*.py"))[:_MAX_SCANNED_FILES], cwd)
    return f" Found here: {', '.join(found)}." if found else ""


def _list_candidates(paths: list[Path], cwd: Path) -> list[str]:
    """Return the functions in files as entrypoints that the user can type."""
    found: list[str] = []
    for path in paths:
        try:
            names = read_defined_names(read_file(path)).functions
        except (UnreadableFile, SyntaxError):
            continue
        found += [f"./{os.path.relpath(path, cwd)}:{name}" for name in names]
    return found[:_MAX_CANDIDATES]
