"""Suggest the file that a user meant by a path that does not exist."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

MAX_ENTRIES_SEARCHED = 5_000
"""Files and folders looked at, so that a mistyped name in a huge project is answered at once."""

_LEFT_OUT = {"node_modules", "site-packages", "venv", "__pycache__", "build", "dist"}


def suggest_path(path: Path) -> str:
    """Return the end of a sentence that suggests an existing file; only "." if none is similar.

    It is a file in the same folder with a similar name, or for a relative path the file of the same
    name anywhere below the current folder.
    """
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        names = []
    near: str | Path | None = next(iter(difflib.get_close_matches(path.name, names, n=1)), None)
    if path.is_absolute():  # a file that another file names, relative to itself
        return f"; did you mean {near!r}?" if near else "."
    found = path.with_name(str(near)) if near else next(_find_below(path.name), None)
    return f"; did you mean {str(found)!r}?" if found else "."


def _find_below(name: str) -> Iterator[Path]:
    """Yield the paths below the current folder with a name, or with it and an extension of YAML."""
    wanted = {name, f"{name}.yaml", f"{name}.yml"}
    left = MAX_ENTRIES_SEARCHED
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _LEFT_OUT
        )
        yield from (Path(folder, each) for each in sorted(wanted & set(files)))
        left -= len(folders) + len(files)
        if left < 0:
            return
