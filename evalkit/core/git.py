"""Run git without hooks, prompts, or optional locks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SAFE_CONFIG = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.sparseCheckout=false"),
)
"""Overrides settings by which a checkout's own configuration could run programs or hide files."""

FETCH_TIMEOUT_S = 300.0


def run_git(
    folder: Path,
    environ: Mapping[str, str],
    *arguments: str,
    given: bytes = b"",
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder and wait for it to end.

    Raises:
        OSError: git is not installed, or the folder does not exist.
        subprocess.TimeoutExpired: it ran longer than `timeout_s`.
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
    """Return git's output; empty if git fails or is not installed."""
    try:
        done = run_git(folder, environ, *arguments)
    except OSError:
        return b""
    return done.stdout if done.returncode == 0 else b""
