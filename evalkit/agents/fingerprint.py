"""Compute the digest of an agent's own files, which changes when the agent changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from evalkit.core.eval_set import AgentSpec
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.values import iter_texts

MAX_FILE_NAME_LENGTH = 1000
"""In characters; a longer text is an argument of a command, not the name of a file."""


def digest_sources(spec: AgentSpec, environment: RunEnvironment) -> str:
    """Return a digest of the agent's files that can be found.

    For a Python entrypoint these are the Python files in its folder, for a command the files that it
    names. Files imported from elsewhere are not covered.
    """
    folders = (environment.set_folder, environment.root)
    named = [name for word in iter_texts(spec.args) if (name := _file_name(spec.kind, word))]
    files = {path for name in named if (path := _find_file(name, folders))}
    if spec.kind == "python":
        # The entrypoint may import any file in its folder; which ones it imports is not known yet.
        files = {file for path in files for file in path.parent.glob("*.py")}
    return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)])


def _file_name(kind: str, word: str) -> str:
    if kind == "python":
        module = word.partition(":")[0]
        word = module if module.endswith(".py") else f"{module.replace('.', '/')}.py"
    return word if 0 < len(word) < MAX_FILE_NAME_LENGTH and "\0" not in word else ""


def _find_file(name: str, folders: Iterable[Path]) -> Path | None:
    paths = (folder / name for folder in folders)
    # Path.is_file raises for some names that are words of a command, os.path.isfile never does.
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113
