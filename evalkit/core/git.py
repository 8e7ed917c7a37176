"""Git, asked so that it runs no hook, waits for nobody and takes no lock it does not need."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SAFE_CONFIG = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.sparseCheckout=false"),
)
"""What a checkout's own configuration may set: programs to run, and files to leave out."""

FETCH_TIMEOUT_S = 300.0


def run_git(
    folder: Path,
    environ: Mapping[str, str],
    *arguments: str,
    given: bytes = b"",
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder to its end.

    Raises:
        OSError: there is no git, or no such folder.
        subprocess.TimeoutExpired: it took longer than it may.
    """
    return subprocess.run(
        ["git", *SAFE_CONFIG, *arguments],
        cwd=folder,
        env={**environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        input=given,
        capture_output=True,
        check=False,
        timeout=timeout_s,
    )


def read_git(folder: Path, environ: Mapping[str, str], *arguments: str) -> bytes:
    """What git prints; nothing where it fails or is missing."""
    try:
        done = run_git(folder, environ, *arguments)
    except OSError:
        return b""
    return done.stdout if done.returncode == 0 else b""
