"""Distinguish installed software, which its version identifies, from files that a user may edit."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

SYSTEM_FOLDERS = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
"""Folders of the operating system, its devices, and its settings."""

INSTALLED_MARKS = ("/site-packages/", "/dist-packages/")
"""Parts of the path of what pip installs, also in an environment inside the project."""

_EVALKIT = str(Path(__file__).parents[1])


class InstalledSoftware:
    """The files of Python, of installed distributions, and of the operating system.

    A file in one of the `folders` of the project is installed only if it is in an environment there.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        paths = [path for folder in folders for path in (folder.absolute(), folder.resolve())]
        self._project = tuple({_with_separator(str(path)) for path in paths})
        prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
        # An environment at or above the project does not make the project's own files installed.
        self._inside = tuple(
            _with_separator(prefix)
            for prefix in prefixes
            if prefix.startswith(self._project) and _with_separator(prefix) not in self._project
        )
        found = {*prefixes, *SYSTEM_FOLDERS, _EVALKIT, *_list_site_folders()}
        self._outside = tuple(map(_with_separator, found))

    def __contains__(self, path: str) -> bool:
        """Return whether the file or folder at an absolute path is installed."""
        path = _with_separator(path)
        if path.startswith(self._project):
            return path.startswith(self._inside) or any(mark in path for mark in INSTALLED_MARKS)
        return path.startswith(self._outside)


def _with_separator(path: str) -> str:
    return path if path.endswith(os.sep) else f"{path}{os.sep}"


def _list_site_folders() -> set[str]:
    """Return the folders of the standard library, and those in which distributions are installed."""
    found = {path for path in sysconfig.get_paths().values() if path.startswith(os.sep)}
    return found | {path for path in sys.path if list_distributions(path)}


def list_distributions(folder: str) -> list[str]:
    """Return the names of the distributions in a folder, with their versions."""
    try:
        names = [path.name for path in Path(folder).iterdir()] if folder else []
    except OSError:  # not a folder
        return []
    return sorted(name for name in names if name.endswith(".dist-info"))
