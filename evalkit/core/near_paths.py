"""Suggest the file that a user meant by a path that does not exist."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

MAX_ENTRIES_SEARCHED = 5_000
"""Files and folders looked at, so that a mistyped name in a huge project is answered at once."""

_LEFT_OUT = {"node_modules", "site-packages", "venv", "__pycache__", "build", "dist"}


def suggest_path(path: Path) -> str:
    """Return the end of a sentence that suggests an existing file; only "." if none is similar.

    For a relative path, it is the file or folder of the same name anywhere below the current folder. Else
    it is one in the same folder with a similar name.
    """
    is_hidden = path.name.startswith(".")
    try:
        entries = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        entries = []
    # Nobody means the store or the repository by a name without a dot.
    names = [name for name in entries if name.startswith(".") == is_hidden]
    near: str | Path | None = next(iter(difflib.get_close_matches(path.name, names, n=1)), None)
    if path.is_absolute():  # a file that another file names, relative to itself
        return f"; did you mean {near!r}?" if near else "."
    found = next(_find_below(path.name), None) or (path.with_name(str(near)) if near else None)
    return f"; did you mean {str(found)!r}?" if found else "."


def find_sets_below(most: int) -> list[Path]:
    """Return files below the current folder that look like eval sets, at most so many; open each only once."""
    found: list[Path] = []
    left = MAX_ENTRIES_SEARCHED
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _LEFT_OUT
        )
        paths = (Path(folder, name) for name in sorted(files) if name.endswith((".yaml", ".yml")))
        found += filter(_looks_like_set, paths)
        left -= len(folders) + len(files)
        if left < 0 or len(found) >= most:
            break
    return found[:most]


def _looks_like_set(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return re.search(rb"^(?:evalset|cases):", stream.read(64_000), re.MULTILINE) is not None
    except OSError:
        return False


def _find_below(name: str) -> Iterator[Path]:
    """Yield the files and folders below the current one with a name, or with it and an extension of YAML."""
    wanted = {name, f"{name}.yaml", f"{name}.yml"}
    left = MAX_ENTRIES_SEARCHED
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _LEFT_OUT
        )
        yield from (Path(folder, each) for each in sorted(wanted & {*files, *folders}))
        left -= len(folders) + len(files)
        if left < 0:
            return
