"""Run the `evalkit` command, which nothing in the checkout can replace, without the rights of the step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from .job import find_workspace

HIDDEN_VARIABLES = (
    "EVALKIT_COMMENT_TOKEN",
    "GITHUB_ENV",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
)


def find_evalkit(environ: Mapping[str, str]) -> list[str]:
    """Return the command line of evalkit, which no file of the checkout can replace.

    A relative folder in PATH, and one in the checkout, does not count, unless Python itself runs from it.
    A script of Python runs with -E and -P: it imports nothing from the checkout, whatever PYTHONPATH says.
    """
    workspace, own = find_workspace(environ), Path(sys.executable).parent
    for entry in environ.get("PATH", "").split(os.pathsep):
        folder = Path(entry)
        is_outside = not (folder / "evalkit").resolve().is_relative_to(workspace)
        if not folder.is_absolute() or not (is_outside or folder == own):
            continue
        if found := shutil.which("evalkit", path=entry):
            first = Path(found).read_bytes().split(b"\n", 1)[0].decode(errors="replace").strip()
            python = first.removeprefix("#!")
            is_python = first != python and Path(python).name.startswith("python")
            return [python, "-EP", found] if is_python else [found]
    raise SystemExit("evalkit is not installed outside of the checkout.")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for evalkit, its agent, and its plugins.

    They must see neither the token, which has write permissions, nor the files by which a step sets its
    outputs and the environment of later steps.
    """
    return {name: text for name, text in environ.items() if name not in HIDDEN_VARIABLES}


class Finished(NamedTuple):
    """How evalkit ended: the exit code, its stdout, and the end of its stderr."""

    code: int
    printed: bytes
    errors: str


def run_evalkit(*arguments: str, env: Mapping[str, str], shown: bool = False) -> Finished:
    """Run evalkit to its end; its stderr, and with `shown` its stdout, are also those of this step.

    The stdout passes through a file without a name. A process that evalkit leaves behind may hold the other
    end of stderr, so nothing waits for it.
    """
    sys.stdout.flush()
    tail: deque[bytes] = deque(maxlen=64)
    with tempfile.TemporaryFile() as stream:
        process = subprocess.Popen(
            [*find_evalkit(env), *arguments],
            env=env,
            stdout=None if shown else stream,
            stderr=subprocess.PIPE,
        )
        copier = threading.Thread(target=copy_stderr, args=(process.stderr, tail), daemon=True)
        copier.start()
        try:
            code = process.wait()
        except BaseException:
            stop(process)
            raise
        copier.join(timeout=2)
        stream.seek(0)
        return Finished(code, stream.read(), b"".join(tail).decode(errors="replace"))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End evalkit, which stores what it has; GitHub ends this step a few seconds after a cancellation."""
    process.terminate()
    try:
        process.wait(timeout=4)
    except subprocess.TimeoutExpired:
        process.kill()


def copy_stderr(source: IO[bytes], tail: deque[bytes]) -> None:
    """Copy a stream to stderr as it comes, and keep its end."""
    while chunk := os.read(source.fileno(), 4096):
        tail.append(chunk)
        os.write(2, chunk)
