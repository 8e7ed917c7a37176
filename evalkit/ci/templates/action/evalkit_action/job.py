"""The facts of a job: its sets, where they are, and what identifies the comment and the check on them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAME = re.compile(r"^evalset:\s*['\"]?([^'\"#\n]+?)['\"]?\s*(?:#.*)?$", re.MULTILINE)
_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")

PROBLEM_VARIABLE = "EVALKIT_ACCEPT_PROBLEM"
"""Why a label that is there does not count; a step sets it for itself."""


def read_sets(environ: Mapping[str, str]) -> list[str]:
    """Return the sets of this step."""
    return [line.strip() for line in environ.get("EVALKIT_SETS", "").splitlines() if line.strip()]


def list_jobs(environ: Mapping[str, str]) -> list[list[str]]:
    """Return the sets that share a command and a comment: all of them, but answers are of one set each."""
    sets = read_sets(environ)
    return [[each] for each in sets] if environ.get("EVALKIT_ANSWERS") or not sets else [sets]


def find_workspace(environ: Mapping[str, str]) -> Path:
    """Return the top of the checkout; the current folder may be within it."""
    return Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()


def find_folder(environ: Mapping[str, str]) -> str:
    """Return the folder that the paths of the sets start from, with a slash; empty for the checkout."""
    folder = os.path.normpath(environ.get("EVALKIT_FOLDER") or ".")
    return "" if folder == "." else f"{folder}/"


def comment_key(environ: Mapping[str, str], sets: Sequence[str]) -> str:
    """Return what identifies the comment on some sets: it is known even if no set can be read."""
    job = [environ.get("GITHUB_WORKFLOW", ""), environ.get("GITHUB_JOB", "")]
    parts = [*job, *(f"{find_folder(environ)}{each}" for each in sets)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def name_check(sets: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the name of the check run on some sets; of two with one name, GitHub counts the later one."""
    job = [environ.get("GITHUB_WORKFLOW", ""), environ.get("GITHUB_JOB", "")]
    named = ", ".join(f"{find_folder(environ)}{each}" for each in sets)
    return f"{' / '.join(filter(None, job)) or 'evalkit'}: {named}"[:200]


def read_name(evalset: str, environ: Mapping[str, str]) -> str:
    """Return the name in a set, which may be invalid; else that of its file."""
    try:
        # A step that ran in the folder is there already.
        folder = Path(environ.get("GITHUB_WORKSPACE") or ".") / find_folder(environ)
        match = _NAME.search((folder / evalset).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        match = None
    return (match[1] if match else Path(evalset).stem)[:60]


def run_url(environ: Mapping[str, str]) -> str:
    """Return the address of this workflow run; empty if the environment does not name it."""
    server, name = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    url = f"{server}/{name}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
    return url if server and _URL.fullmatch(url) else ""


def describe_road(environ: Mapping[str, str]) -> str:
    """Return how a change is accepted in this workflow; empty if it has no label for it."""
    label, role = environ.get("EVALKIT_ACCEPT_LABEL", ""), environ.get("EVALKIT_ACCEPT_ROLE", "")
    if not label:
        return ""
    problem = environ.get(PROBLEM_VARIABLE, "")
    return (
        f'To accept the change, a person with the role "{role}" applies the label "{label}" after this '
        f"result. It counts for this commit only.{problem and ' Not accepted yet: '}{problem}"
    )
