"""Complete eval sets, runs, and topics for the shell, from what is on disk."""

from __future__ import annotations

import os
import re
from pathlib import Path

MAX_FOLDERS = 500
"""How many folders are searched for sets, so that the shell does not wait."""

MAX_RUNS = 50
"""How many of the newest runs are listed."""

_MAX_HEAD_BYTES = 16_384
_PLAIN = re.compile(r"[\w./@:+,=~-]*")
"""Names that a shell takes as they are. Bash inserts what is offered without quotes, so only these are."""

_SET_KEY = re.compile(rb"^(evalset|cases|agent):", re.MULTILINE)


def complete_evalset(incomplete: str) -> list[str]:
    """Return the eval sets in and below the current folder whose path starts as typed.

    With a path that leaves the current folder, search below the folder that is typed.
    """
    typed, _ = os.path.split(incomplete)
    outside = typed.startswith(("..", "/", "~"))
    start = os.path.expanduser(typed) if outside else "."  # noqa: PTH111 - a text, as typed
    found = []
    for count, (folder, below, files) in enumerate(os.walk(start)):
        if count == MAX_FOLDERS:
            break
        below[:] = sorted(name for name in below if name[0] != "." and name != "node_modules")
        for name in sorted(files):
            path = os.path.join(folder, name)  # noqa: PTH118
            shown = os.path.join(typed, os.path.relpath(path, start)) if outside else path[2:]  # noqa: PTH118
            dotted = f"./{shown}" if incomplete.startswith("./") else shown
            is_named = dotted.startswith(incomplete) and name.endswith((".yaml", ".yml"))
            if is_named and _PLAIN.fullmatch(dotted) and _is_set(path):
                found.append(dotted)
    return found


def _is_set(path: str) -> bool:
    try:
        # A pipe of that name would never be read to its end.
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as stream:
            return bool(_SET_KEY.search(stream.read(_MAX_HEAD_BYTES)))
    except OSError:
        return False


def complete_run(incomplete: str) -> list[str]:
    """Return the newest runs whose id starts as typed, newest first, after the words for runs."""
    from evalkit.core.project import find_project_root

    folder = find_project_root(Path.cwd(), Path.cwd()) / ".evalkit" / "runs"
    # An id begins with the time of its start.
    runs = sorted((path.parent.name for path in folder.glob("*/run.json")), reverse=True)
    words = ["latest", "baseline", *runs[:MAX_RUNS]]
    return [word for word in words if word.startswith(incomplete) and _PLAIN.fullmatch(word)]


def complete_topic(incomplete: str) -> list[str]:
    """Return the pages of the guide whose name starts as typed."""
    return _list_stems("guide", ".md", incomplete)


def complete_schema(incomplete: str) -> list[str]:
    """Return the schemas whose name starts as typed."""
    return _list_stems("schemas", ".schema.json", incomplete)


def _list_stems(folder: str, suffix: str, incomplete: str) -> list[str]:
    files = (Path(__file__).parents[1] / folder).glob(f"*{suffix}")
    stems = sorted(path.name.removesuffix(suffix) for path in files)
    return [stem for stem in stems if stem.startswith(incomplete)]
