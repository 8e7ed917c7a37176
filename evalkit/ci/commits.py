"""What a change is compared with: the base found in the environment, its commit, its files in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.errors import Interrupted, InvalidInput, StoreError
from evalkit.core.git import FETCH_TIMEOUT_S, read_git, run_git

DEEPEN_OPTIONS = ("--deepen=1", "--deepen=50", "--deepen=1000", "--unshallow")
"""How a shallow clone is given more history, until the two sides meet. One step is enough where a merge
of both is checked out, as GitHub does."""

BRANCH_VARIABLES = (
    "GITHUB_BASE_REF",
    "CHANGE_TARGET",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "SYSTEM_PULLREQUEST_TARGETBRANCH",
)
"""Where GitHub, Jenkins, Buildkite, Bitbucket and Azure say which branch a pull request goes to."""

COMMIT_VARIABLES = ("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA")
"""Where GitLab says which commit a merge request is compared with; the first is there when it tests the
result of merging."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRef:
    """A name of the base, and where it was found: an option, or a variable of the environment."""

    name: str
    found_in: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A checkout: its top folder, and how git is asked about it."""

    top: Path
    environ: Mapping[str, str]

    def query(self, *arguments: str) -> str:
        """What git says in one line; empty where it fails."""
        return read_git(self.top, self.environ, *arguments).decode(errors="replace").strip()

    def resolve_commit(self, name: str) -> str:
        """The commit a name leads to; empty where there is none here."""
        return self.query(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )

    @property
    def is_shallow(self) -> bool:
        """Whether history was left out when it was cloned."""
        return self.query("rev-parse", "--is-shallow-repository") == "true"


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """The commit compared with, and what it was asked for by."""

    ref: BaseRef
    sha: str
    is_tip: bool

    def __str__(self) -> str:
        how = "" if self.is_tip else "the merge base, "
        return f"{self.ref.name} ({how}{self.sha[:10]})"


def find_base_ref(environ: Mapping[str, str]) -> BaseRef | None:
    """What the CI system says a pull or merge request goes to; None outside of one.

    >>> find_base_ref({"GITHUB_BASE_REF": "main"})
    BaseRef(name='origin/main', found_in='GITHUB_BASE_REF')
    """
    for variable in BRANCH_VARIABLES:
        if branch := environ.get(variable, "").removeprefix("refs/heads/"):
            return BaseRef(name=f"origin/{branch}", found_in=variable)
    for variable in COMMIT_VARIABLES:
        if sha := environ.get(variable, ""):
            return BaseRef(name=sha, found_in=variable)
    return None


def open_repository(folder: Path, environ: Mapping[str, str], ref: BaseRef) -> Repository:
    """The checkout a folder is in.

    Raises:
        InvalidInput: it is in none, or nothing is committed.
    """
    top = read_git(folder, environ, "rev-parse", "--show-toplevel").decode(errors="replace").strip()
    if not top:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: {folder} is in no git checkout, so there is no base to "
            f"read. Check it out with git."
        )
    repository = Repository(top=Path(top), environ=environ)
    if not repository.resolve_commit("HEAD"):
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: nothing is committed in {top} yet."
        )
    return repository


def find_merge_base(repository: Repository, ref: BaseRef, say: Callable[[str], None]) -> Commit:
    """Where the checkout's history leaves that of the base: the merge base, fetched if need be.

    The tip of a base that moved on would show what others did there as edits of this change.

    Raises:
        InvalidInput: it is not here and cannot be fetched; says what to fetch.
    """
    if ref.name.startswith("-") or not ref.name.strip():
        raise InvalidInput.single(f"{ref.found_in} {ref.name!r} cannot name a commit.")
    tip = repository.resolve_commit(ref.name)
    # A branch that the environment names may have moved since a lasting clone last heard of it.
    if not tip or ref.found_in in BRANCH_VARIABLES:
        _fetch(repository, ref, ["--depth=1"] if repository.is_shallow and not tip else [], say)
        tip = repository.resolve_commit(ref.name) or repository.resolve_commit(f"origin/{ref.name}")
    if not tip:
        raise _missing_commit_error(repository, ref, "there is no such commit here")
    for step in ("", *DEEPEN_OPTIONS):
        if step and not repository.is_shallow:
            break
        if step:
            _fetch(repository, ref, [step], say)
        if found := repository.query("merge-base", tip, "HEAD"):
            return Commit(ref=ref, sha=found, is_tip=found == tip)
    raise _missing_commit_error(repository, ref, "it has no commit in common with HEAD here")


def _fetch(
    repository: Repository, ref: BaseRef, how: list[str], say: Callable[[str], None]
) -> None:
    """Fetch the base, and more of HEAD's history with it; what cannot be had is found missing later."""
    remote, sources = _find_remote_refs(repository, ref)
    if remote not in repository.query("remote").split():
        return
    head = repository.resolve_commit("HEAD")
    # Not every server gives out a commit by its id, and not every HEAD is on the server.
    attempts = [[*sources, head], sources] if how and how != ["--depth=1"] else [sources]
    say(f"fetching {' '.join((*how, remote, *sources))}")
    for wanted in attempts:
        try:
            done = run_git(
                repository.top,
                repository.environ,
                *(
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-recurse-submodules",
                    *how,
                    remote,
                    *wanted,
                ),
                timeout_s=FETCH_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode == 0:
            return


def _find_remote_refs(repository: Repository, ref: BaseRef) -> tuple[str, list[str]]:
    """The remote that has the base, and what it is called there."""
    if len(ref.name) >= 40 and all(char in "0123456789abcdef" for char in ref.name):
        return "origin", [ref.name]
    remote, _, branch = ref.name.partition("/")
    if not branch or remote not in ("origin", *repository.query("remote").split()):
        remote, branch = "origin", ref.name
    return remote, [f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"]


def _missing_commit_error(repository: Repository, ref: BaseRef, reason: str) -> InvalidInput:
    remote, sources = _find_remote_refs(repository, ref)
    deeper = "--unshallow " if repository.is_shallow else ""
    return InvalidInput.single(
        f"{ref.found_in} {ref.name!r}: {reason}. "
        f"Fetch it first: git fetch --no-tags {deeper}{remote} {' '.join(sources)}"
        + (" (with actions/checkout: fetch-depth: 0)" if repository.is_shallow else "")
    )


@contextmanager
def check_out(repository: Repository, sha: str) -> Iterator[Path]:
    """The files of a commit in a temporary folder, gone afterwards; the checkout is left as it is.

    No hook runs, and git keeps no note of the folder. What is in submodules is missing.

    Raises:
        StoreError: the files cannot be written.
    """
    with (
        _interrupt_on_signals(),
        tempfile.TemporaryDirectory(prefix="evalkit-base-", ignore_cleanup_errors=True) as made,
    ):
        temporary = Path(os.path.realpath(made))
        tree = temporary / "tree"
        # The mark keeps what is above the folder from being taken for the project's root.
        (tree / ".evalkit").mkdir(parents=True)
        environ = {**repository.environ, "GIT_INDEX_FILE": str(temporary / "index")}
        git_folder = repository.query("rev-parse", "--absolute-git-dir")
        for command in (("read-tree", sha), ("checkout-index", "--all", "--quiet", "--force")):
            done = run_git(
                tree, environ, f"--git-dir={git_folder}", f"--work-tree={tree}", *command
            )
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace").strip()
                raise StoreError(f"the files of commit {sha[:10]} could not be written: {said}")
        yield tree


def list_submodules(repository: Repository, sha: str) -> tuple[str, ...]:
    """The paths at which a commit has submodules."""
    rows = repository.query("ls-tree", "-r", "--full-tree", sha).splitlines()
    return tuple(row.partition("\t")[2] for row in rows if row.startswith("160000 "))


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Let a CI system's cancel end what is under way in order, so that nothing is left behind.

    A run has its own way to obey signals, and leaves the default one behind.
    """

    def unwind(number: int, _: object) -> None:
        raise Interrupted("interrupted; nothing was lost.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
