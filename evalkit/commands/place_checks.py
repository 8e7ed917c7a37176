"""Check the place that evalkit runs in: installation, git, CI, base, store, and worker processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.systems import Build, find_build
from evalkit.ci.workflow_files import ACTION_FOLDER, WORKFLOWS_FOLDER
from evalkit.commands.base import FoundBase, find_base
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError, InvalidInput
from evalkit.core.files import os_error_reason
from evalkit.core.git import find_checkout, read_git
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import display_path, read_file
from evalkit.evalset.project import Project
from evalkit.report.doctor import CheckStatus, PlaceCheck
from evalkit.worker.pool import TargetSpec, open_pool

_INSTALL = re.compile(r"""^\s+install:\s*["']?([^"'#\n]+?)["']?\s*(?:#.*)?$""", re.MULTILINE)
BASE_TIMEOUT_S = 20.0
"""How long the base may be looked for, as fetching it can hang without a network."""

MIN_FREE_BYTES = 100 * 2**20
LOW_FREE_BYTES = 2**30

MAX_STORE_SKEW_S = 2.0
"""How far the clock of the store's file system may be off. Runs are ordered by it."""

_HARMLESS_FUNCTION = "textwrap:dedent"
"""A function of Python itself, which a worker process can load anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """This installation of evalkit, as only the command line sees it.

    `other_program` is an `evalkit` that a shell finds first; empty if it is this one. `encodings` are those
    of stdout and of file names, by what they are of.
    """

    evalkit_version: str
    python_version: str
    program: str
    conflict: str = ""
    other_program: str = ""
    encodings: Mapping[str, str]


def check_installation(installed: Installation) -> Iterator[PlaceCheck]:
    """Check Python, the distribution, and that texts are UTF-8."""
    python = f"{installed.python_version} at {installed.program}"
    yield PlaceCheck(name="python", status="ok", found=python)
    version = f"evalkit {installed.evalkit_version}"
    if installed.conflict:
        yield PlaceCheck(name="evalkit", status="fail", found=f"{version}: {installed.conflict}")
    elif installed.other_program:
        yield PlaceCheck(
            name="evalkit",
            status="warn",
            found=f"{version}, but a shell starts {installed.other_program} first.",
            advice="Activate the environment of this one, or uninstall the other.",
        )
    else:
        yield PlaceCheck(
            name="evalkit", status="ok", found=f"{version}, no other package of this name"
        )
    wrong = {of: name for of, name in installed.encodings.items() if name.lower() != "utf-8"}
    if wrong:
        found = ", ".join(f"{of} in {name}" for of, name in wrong.items())
        advice = "Set LANG=C.UTF-8 or PYTHONUTF8=1; some characters are shown as escapes."
        yield PlaceCheck(name="locale", status="warn", found=f"{found}.", advice=advice)
    else:
        yield PlaceCheck(name="locale", status="ok", found="UTF-8")


def check_git(project: Project, context: Context) -> Iterator[PlaceCheck]:
    """Check that git knows the version of the agent, and which base the gate would use."""
    program = read_git(project.root, context.environ, "--version").decode().strip()
    build = find_build(context.environ)
    in_ci = PlaceCheck(name="CI", status="ok", found=_describe_build(build))
    if not program:
        advice = "Install git: without it runs have no version, and a gate has no base."
        yield PlaceCheck(name="git", status="warn", found="not installed.", advice=advice)
        yield in_ci
    elif find_checkout(project.root) is None:
        advice = "Run `git init`: without it runs have no version, and a gate has no base."
        found = f"{program}, but {display_path(project.root)} is in no repository."
        yield PlaceCheck(name="git", status="warn", found=found, advice=advice)
        yield in_ci
    elif not project.git.commit:
        found = f"{program}, but nothing is committed."
        yield PlaceCheck(name="git", status="warn", found=found, advice="Commit your files.")
        yield in_ci
    else:
        edits = " with uncommitted edits" if project.git.dirty else ""
        found = f"{program}, commit {project.git.commit[:10]}{edits}"
        yield PlaceCheck(name="git", status="ok", found=found)
        yield in_ci
        yield _check_base(build, context)


def check_workflows(project: Project) -> Iterator[PlaceCheck]:
    """Yield a warning for each workflow that installs evalkit from a path that the repository lacks."""
    top = find_checkout(project.root) or project.root
    for path in sorted((top / WORKFLOWS_FOLDER).glob("*.y*ml")):
        text = read_file(path).decode(errors="replace")
        for install in _INSTALL.findall(text) if ACTION_FOLDER in text else ():
            is_path = install.startswith(("/", "./", "../"))
            if is_path and (install.startswith("/") or not (top / install).exists()):
                name = path.relative_to(top).as_posix()
                found = f"{name} installs evalkit from {install}, which is not in the repository."
                advice = (
                    "Write under `install:` what CI can install: a version, "
                    "git+https://HOST/OWNER/evalkit@COMMIT, or a wheel that you commit."
                )
                yield PlaceCheck(name="workflow", status="warn", found=found, advice=advice)


def _describe_build(build: Build | None) -> str:
    if build is None:
        return "none, this is no CI build"
    what = "a change" if build.is_change else "a branch"
    return f"{build.system.name}, a build of {what}"


def _check_base(build: Build | None, context: Context) -> PlaceCheck:
    if build is None:
        found = "none, as this is no build of a change. To gate as CI does: --base REMOTE/BRANCH"
        return PlaceCheck(name="base", status="ok", found=found)
    results: list[FoundBase | EvalkitError] = []

    def look() -> None:
        try:
            results.append(find_base(None, context, require=False))
        except EvalkitError as error:
            results.append(error)

    # A daemon, because fetching can hang for minutes.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(BASE_TIMEOUT_S)
    if not results:
        found = f"not found within {BASE_TIMEOUT_S:g} s."
        advice = "Fetch it when checking out, as with `fetch-depth: 0`."
        return PlaceCheck(name="base", status="warn", found=found, advice=advice)
    [result] = results
    if isinstance(result, EvalkitError):
        return PlaceCheck(name="base", status="fail", found=str(result))
    if result.commit or not build.is_change:
        return PlaceCheck(name="base", status="ok", found=result.sentence)
    return PlaceCheck(name="base", status="warn", found=result.sentence)


def check_store(root: Path, context: Context) -> Iterator[PlaceCheck]:
    """Check that runs can be stored: folder, locks, the file system's clock, and disk space."""
    store = root / ".evalkit"
    folder = store if os.path.lexists(store) else root
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as stream:
            before = context.now().timestamp()
            stream.write(b"evalkit doctor")
            stream.flush()
            skew_s = abs(os.fstat(stream.fileno()).st_mtime - before)
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        found = f"{display_path(folder)} cannot be written or locked: {os_error_reason(error)}."
        advice = "Make it writable, on a file system with locks."
        yield PlaceCheck(name="store", status="fail", found=found, advice=advice)
        return
    free = shutil.disk_usage(folder).free
    found = f"{display_path(store)} is writable, {free / 2**30:.1f} GiB free"
    if free < LOW_FREE_BYTES:
        status: CheckStatus = "fail" if free < MIN_FREE_BYTES else "warn"
        advice = "Delete old runs under .evalkit/runs, or make space."
        yield PlaceCheck(name="store", status=status, found=f"{found}.", advice=advice)
    else:
        yield PlaceCheck(name="store", status="ok", found=found)
    if skew_s > MAX_STORE_SKEW_S:
        found = f"the store's file system is {skew_s:.0f} s off this machine's clock."
        advice = "Synchronize both: `latest` is the run whose file is newest."
        yield PlaceCheck(name="clock", status="warn", found=found, advice=advice)


async def check_workers(root: Path, context: Context) -> PlaceCheck:
    """Check that a process for the user's code can be started."""
    environment = RunEnvironment(root=root, set_folder=root, environ=context.environ)
    target = TargetSpec(kind="agent", ref=_HARMLESS_FUNCTION)
    started = asyncio.get_running_loop().time()
    try:
        async with open_pool(target, environment):
            took_s = asyncio.get_running_loop().time() - started
    except InvalidInput as error:
        advice = "Python agents and metrics cannot run here; look for limits on processes."
        return PlaceCheck(name="workers", status="fail", found=str(error), advice=advice)
    return PlaceCheck(name="workers", status="ok", found=f"a process starts in {took_s:.1f} s")
