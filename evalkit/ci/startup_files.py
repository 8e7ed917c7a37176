"""Find files that Python runs whenever it starts: they act on evalkit itself, not only on the agent."""

from __future__ import annotations

import contextlib
import os
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.core.file_marks import FileMark, mark_file
from evalkit.core.git import read_git
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project

_STARTUP_MODULES = ("sitecustomize", "usercustomize")


def find_startup_files(project: Project) -> Mapping[Path, FileMark]:
    """Return the marks of all files that a Python process of this job runs when it starts."""
    found = {}
    for folder in _list_folders(project):
        for path in _list_startup_files(folder):
            if mark := mark_file(path):
                found[path] = mark
    return found


def find_startup_warnings(project: Project) -> Iterator[str]:
    """Yield a warning for everything in the checkout that Python runs or prefers when it starts."""
    entries = project.environ.get("PYTHONPATH", "")
    relative = [entry for entry in entries.split(os.pathsep) if entries and not _is_absolute(entry)]
    if relative:
        shown = ", ".join(repr(entry) for entry in relative)
        yield (
            f"PYTHONPATH has entries that are not absolute ({shown}), so that files of the current "
            f"folder can replace modules of evalkit. Use absolute paths outside of the checkout."
        )
    inside = [path for path in find_startup_files(project) if path.is_relative_to(project.root)]
    committed = _list_committed(project, inside)
    for path in inside:
        # A virtual environment in the checkout has .pth files, which git does not track.
        if path.suffix != ".pth" or path in committed:
            yield (
                f"{display_path(path)} is in the checkout, and Python runs it whenever it starts: the "
                f"result is only as trustworthy as this file. Remove it."
            )


def _is_absolute(entry: str) -> bool:
    return os.path.isabs(entry)  # noqa: PTH117 - an entry may be empty


def _list_folders(project: Project) -> list[Path]:
    """Return the folders from which Python takes such files, in this process or in a child."""
    entries = project.environ.get("PYTHONPATH", "")
    # A child starts in the project's root, so that relative entries mean other folders there.
    named = [
        folder / entry
        for folder in (project.cwd, project.root)
        for entry in entries.split(os.pathsep)
        if entries
    ]
    sites = [*site.getsitepackages(), site.getusersitepackages()]
    found = (*named, *(project.cwd / each for each in (*sys.path, *sites) if each))
    return list(dict.fromkeys(found))


def _list_startup_files(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            # A package has no suffix; an extension module has several.
            if path.suffix == ".pth" or path.name.partition(".")[0] in _STARTUP_MODULES:
                yield path


def _list_committed(project: Project, paths: list[Path]) -> frozenset[Path]:
    if not paths:
        return frozenset()
    listed = read_git(project.root, project.environ, "ls-files", "-z", "--", *map(str, paths))
    return frozenset(project.root / os.fsdecode(name) for name in listed.split(b"\0") if name)
