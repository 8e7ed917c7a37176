"""Run git without hooks, prompts, or optional locks, and with nothing from the checkout but its data."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

SAFE_CONFIG = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.sparseCheckout=false"),
    *("-c", "core.commitGraph=false"),
    *("-c", "core.attributesFile=/dev/null"),
    *("-c", "core.pager=cat"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
"""Overrides settings by which a checkout's own configuration could run programs or hide files."""

FETCH_TIMEOUT_S = 300.0

_KEPT_VARIABLES = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "TMPDIR", "TZ", "USER", "XDG_CONFIG_HOME")

_CONFIG_FILE_VARIABLES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")

_NETWORK_VARIABLES = (
    *("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("CURL_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
    *("GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "SSH_ASKPASS"),
    *("SSH_AUTH_SOCK", "KRB5CCNAME", "GH_TOKEN", "GITHUB_TOKEN", "CI_JOB_TOKEN"),
)
"""What fetching may need: proxies, certificates, and credentials."""

_ALWAYS_SET = {
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def find_checkout(folder: Path) -> Path | None:
    """Return the top folder of the checkout that contains a folder; None outside of one.

    Unlike git, do not read `core.worktree`, which a job could set to another folder.
    """
    start = Path(os.path.realpath(folder))
    for each in (start, *start.parents):
        if os.path.lexists(each / ".git"):
            return each
    return None


def find_place_in_checkout(folder: Path) -> str:
    """Return the path of a folder from the top of its checkout; empty at the top and outside of one."""
    top = find_checkout(folder)
    place = Path(os.path.realpath(folder)).relative_to(top).as_posix() if top else "."
    return "" if place == "." else place


def build_git_environment(
    environ: Mapping[str, str], folder: Path, *, network: bool = False
) -> dict[str, str]:
    """Return the variables that git gets: no `GIT_*` of the caller, and no `PATH` into the checkout.

    With `network`, also those that fetching needs.
    """
    top = find_checkout(folder)
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT_VARIABLES
        or name.startswith("LC_")
        or (network and name.upper() in _NETWORK_VARIABLES)
    }
    for name in _CONFIG_FILE_VARIABLES:
        value = environ.get(name, "")
        if os.path.isabs(value) and not _is_inside(value, top):  # noqa: PTH117 - a text
            kept[name] = value
    if environ.get("GIT_CONFIG_NOSYSTEM"):
        kept["GIT_CONFIG_NOSYSTEM"] = environ["GIT_CONFIG_NOSYSTEM"]
    search = os.pathsep.join(_list_trusted_folders(environ.get("PATH", os.defpath), top))
    return {**kept, **_ALWAYS_SET, "PATH": search}


def _list_trusted_folders(search_path: str, top: Path | None) -> Iterator[str]:
    """Yield the absolute folders of a search path that are outside of the checkout."""
    for folder in search_path.split(os.pathsep):
        if os.path.isabs(folder) and not _is_inside(folder, top):  # noqa: PTH117 - a text
            yield folder


def _is_inside(path: str, top: Path | None) -> bool:
    return top is not None and Path(os.path.realpath(path)).is_relative_to(top)


def _find_git(search_path: str, folder: Path) -> str:
    """Return the path of git.

    Raises:
        FileNotFoundError: it is in no trusted folder.
    """
    top = find_checkout(folder)
    for each in search_path.split(os.pathsep):
        program = os.path.join(each, "git")  # noqa: PTH118 - a text
        if each and os.access(program, os.X_OK) and not _is_inside(program, top):
            return program
    raise FileNotFoundError("git is not installed")


def git_command(
    folder: Path, environ: Mapping[str, str], *arguments: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the variables of a git command that only reads local data.

    Raises:
        FileNotFoundError: git is not installed.
    """
    variables = build_git_environment(environ, folder)
    return [_find_git(variables["PATH"], folder), *SAFE_CONFIG, *arguments], variables


def run_git(
    folder: Path,
    environ: Mapping[str, str],
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    network: bool = False,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder and wait for it to end. `extra` has further variables for it.

    Raises:
        OSError: git is not installed, or the folder does not exist.
        subprocess.TimeoutExpired: it ran longer than `timeout_s`.
    """
    variables = build_git_environment(environ, folder, network=network)
    return subprocess.run(
        [_find_git(variables["PATH"], folder), *SAFE_CONFIG, *arguments],
        cwd=folder,
        env={**variables, **(extra or {})},
        stdin=subprocess.DEVNULL,
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
