"""Find what pip has to install to get the running evalkit again, on a machine of CI."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from evalkit import __version__
from evalkit.core.git import read_git

_DISTRIBUTION = "evalkit-ci"
_PACKAGE = Path(__file__).resolve().parents[1]
_INIT_FILE = "evalkit/__init__.py"
_SCP_ADDRESS = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!//)/*(.+)")
_LOGIN = re.compile(r"(?<=^http://)[^/@]*@|(?<=^https://)[^/@]*@")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What to install, as pip takes it, and what the user has to know about it; `note` may be empty.

    With `is_local`, only this machine has it.
    """

    text: str
    note: str = ""
    is_local: bool = False


def find_requirement(top: Path, environ: Mapping[str, str]) -> Requirement:
    """Return what installs the running evalkit in a checkout of the repository at `top`.

    The distribution records where it came from. Source: PEP 610, `direct_url.json`.
    """
    for found in importlib.metadata.distributions(name=_DISTRIBUTION):
        origin = _read_origin(found)
        if _has_package(found) or (_is_editable(origin) and _is_own(origin)):
            return describe_origin(origin, top, environ)
    # Python imports it from a folder of sources.
    return describe_origin({"url": _PACKAGE.parent.as_uri(), "dir_info": {}}, top, environ)


def describe_origin(
    origin: Mapping[str, Any], top: Path, environ: Mapping[str, str]
) -> Requirement:
    """Return the requirement for the content of `direct_url.json`; empty means a package index."""
    url = str(origin.get("url", ""))
    if not url:
        return Requirement(text=f"{_DISTRIBUTION}=={__version__}")
    folder = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    vcs = origin.get("vcs_info", {})
    if url.startswith("file:"):
        return _describe_local(_to_path(url), top, environ)
    if vcs:
        commit = f"@{vcs['commit_id']}" if vcs.get("commit_id") else ""
        return Requirement(
            text=f"{_DISTRIBUTION} @ {vcs.get('vcs', 'git')}+{_LOGIN.sub('', url)}{commit}{folder}"
        )
    hashes = origin.get("archive_info", {}).get("hashes", {})
    digest = f"#sha256={hashes['sha256']}" if "sha256" in hashes and not folder else folder
    return Requirement(text=f"{_DISTRIBUTION} @ {_LOGIN.sub('', url)}{digest}")


def _describe_local(path: Path, top: Path, environ: Mapping[str, str]) -> Requirement:
    """Return a path in the repository as it is, and the pushed commit of any other checkout of evalkit."""
    inside = path.is_relative_to(top)
    if inside and not read_git(top, environ, "check-ignore", "--", str(path)):
        return Requirement(text=f"./{path.relative_to(top).as_posix()}".removesuffix("/."))
    address = _read_pushed_address(path, environ) if path.is_dir() else ""
    if address:
        note = (
            f"evalkit runs from the folder {path} here. CI installs the commit that is checked out there, "
            f"without uncommitted edits: {address}"
        )
        return Requirement(text=f"{_DISTRIBUTION} @ {address}", note=note)
    kind = "folder" if path.is_dir() else "file"
    note = f"evalkit was installed from a {kind} that CI does not have: {path}."
    return Requirement(text=str(path), note=note, is_local=True)


def _read_pushed_address(folder: Path, environ: Mapping[str, str]) -> str:
    """Return the address of the commit checked out in a folder, if a remote branch has it; else empty."""

    def read(*arguments: str) -> str:
        return read_git(folder, environ, *arguments).decode(errors="replace").strip()

    commit = read("rev-parse", "--verify", "HEAD")
    if not commit or Path(read("rev-parse", "--show-toplevel")) != folder.resolve():
        return ""
    branch = read("branch", "--remotes", "--contains", commit, "--format=%(refname:lstrip=2)")
    remote = branch.partition("/")[0]
    url = read("remote", "get-url", remote) if remote else ""
    if scp := _SCP_ADDRESS.fullmatch(url):
        url = f"https://{scp[1]}/{scp[2]}"
    is_remote = url.startswith(("https://", "http://", "ssh://"))
    return f"git+{_LOGIN.sub('', url)}@{commit}" if is_remote else ""


def _read_origin(found: importlib.metadata.Distribution) -> Mapping[str, Any]:
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _has_package(found: importlib.metadata.Distribution) -> bool:
    """Return whether the running package is among the files of a distribution."""
    return os.path.realpath(str(found.locate_file(_INIT_FILE))) == str(_PACKAGE / "__init__.py")


def _is_editable(origin: Mapping[str, Any]) -> bool:
    return bool(origin.get("dir_info", {}).get("editable"))


def _to_path(url: str) -> Path:
    return Path(os.path.realpath(unquote(urlsplit(url).path)))


def _is_own(origin: Mapping[str, Any]) -> bool:
    return _PACKAGE.is_relative_to(_to_path(str(origin["url"])))
