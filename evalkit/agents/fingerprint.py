"""An agent's own files as one digest, by which a changed agent is told from the same one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from evalkit.digest import digest
from evalkit.records import AgentSpec, Json, Surroundings

LONGEST_NAME = 1000
"""Characters; what is longer is an argument of a command, not the name of a file."""


def digest_sources(spec: AgentSpec, surroundings: Surroundings) -> str:
    """Digest the agent's files, as far as they are at hand.

    Of a Python entrypoint these are the Python files in its folder, of a command the files it names.
    What is imported from further away is not covered.
    """
    folders = (surroundings.base, surroundings.root)
    named = [name for word in _words(spec.args) if (name := _file_name(spec.kind, word))]
    files = {path for name in named if (path := _find(name, folders))}
    if spec.kind == "python":
        files = {beside for path in files for beside in path.parent.glob("*.py")}
    return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)])


def _words(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def _file_name(kind: str, word: str) -> str:
    if kind == "python":
        place = word.partition(":")[0]
        word = place if place.endswith(".py") else f"{place.replace('.', '/')}.py"
    return word if 0 < len(word) < LONGEST_NAME and "\0" not in word else ""


def _find(name: str, folders: Iterable[Path]) -> Path | None:
    paths = (folder / name for folder in folders)
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113 - never raises
