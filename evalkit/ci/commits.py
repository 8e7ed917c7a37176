"""Find the base commit of a change and write its files into a temporary folder."""

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

from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, InvalidInput, StoreError
from evalkit.core.git import FETCH_TIMEOUT_S, read_git, run_git

DEEPEN_OPTIONS = ("--deepen=1", "--deepen=50", "--deepen=1000", "--unshallow")
"""Options that fetch more history into a shallow clone, tried in order until a merge base is found.

The first one is enough if a merge of both branches is checked out, as on GitHub.
"""

BRANCH_VARIABLES = (
    "GITHUB_BASE_REF",
    "CHANGE_TARGET",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "SYSTEM_PULLREQUEST_TARGETBRANCH",
)
"""Variables in which GitHub, Jenkins, Buildkite, Bitbucket, and Azure name the target branch."""

COMMIT_VARIABLES = ("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA")
"""Variables in which GitLab names the commit to compare a merge request with.

The first one is set when GitLab tests the merged result.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRef:
    """A name of the base, and where it was found: an option or an environment variable."""

    name: str
    found_in: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A working tree: its top folder, and the environment for calls of git."""

    top: Path
    environ: Mapping[str, str]

    def query(self, *arguments: str) -> str:
        """Return git's output, stripped; empty if git fails."""
        return read_git(self.top, self.environ, *arguments).decode(errors="replace").strip()

    def resolve_commit(self, name: str) -> str:
        """Return the commit that a name refers to; empty if the clone has none."""
        return self.query(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )

    @property
    def is_shallow(self) -> bool:
        """Whether the clone lacks part of the history."""
        return self.query("rev-parse", "--is-shallow-repository") == "true"


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """The base commit, and the name that it was found by."""

    ref: BaseRef
    sha: str
    is_tip: bool

    def __str__(self) -> str:
        how = "" if self.is_tip else "the merge base, "
        return f"{self.ref.name} ({how}{self.sha[:10]})"


def find_base_ref(environ: Mapping[str, str]) -> BaseRef | None:
    """Return the target of the pull or merge request that CI runs for; None outside of one.

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
    """Return the repository that contains a folder.

    Raises:
        InvalidInput: there is none, or nothing is committed in it.
    """
    top = read_git(folder, environ, "rev-parse", "--show-toplevel").decode(errors="replace").strip()
    if not top:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: {folder} is not in a git repository, so there is no base. "
            f"Clone it with git."
        )
    repository = Repository(top=Path(top), environ=environ)
    if not repository.resolve_commit("HEAD"):
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: nothing is committed in {top} yet."
        )
    return repository


def find_merge_base(repository: Repository, ref: BaseRef, say: Callable[[str], None]) -> Commit:
    """Return the merge base of HEAD and `ref`, and fetch it if necessary.

    With the tip of `ref`, later commits of others would look like edits of this change.

    Raises:
        InvalidInput: the commit is missing and cannot be fetched; the message says what to fetch.
    """
    if ref.name.startswith("-") or not ref.name.strip():
        raise InvalidInput.single(f"{ref.found_in} {ref.name!r} cannot name a commit.")
    tip = repository.resolve_commit(ref.name)
    # In a clone that is kept between builds, the branch may have moved since the last fetch.
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
    """Fetch the base, and more of HEAD's history. Ignore failures: the caller checks the result."""
    remote, sources = _find_remote_refs(repository, ref)
    if remote not in repository.query("remote").split():
        return
    head = repository.resolve_commit("HEAD")
    # Some servers refuse to send a commit by its id, and HEAD may exist only here.
    attempts = [[*sources, head], sources] if how and how != ["--depth=1"] else [sources]
    say(f"fetching {' '.join((*how, remote, *sources))}")
    for wanted in attempts:
        try:
            done = run_git(
                repository.top,
                repository.environ,
                *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules"),
                *(*how, remote, *wanted),
                timeout_s=FETCH_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode == 0:
            return


def _find_remote_refs(repository: Repository, ref: BaseRef) -> tuple[str, list[str]]:
    """Return the remote that has the base, and the refspecs to fetch."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """The files of a commit in a temporary folder `tree`, laid out as in the repository's top folder."""

    repository: Repository
    commit: Commit
    tree: Path

    def locate(self, path: Path) -> Path:
        """Return the path in this checkout of a file in the working tree; it need not exist."""
        top = self.repository.top
        absolute = Path(os.path.realpath(path.parent)) / path.name
        # Prefer the path as the user wrote it: a symlink must not lead to another file's history.
        lexical = Path(os.path.abspath(path))  # noqa: PTH100 - does not follow symlinks
        place = lexical if lexical.is_relative_to(top) else absolute
        return self.tree / (place.relative_to(top) if place.is_relative_to(top) else path.name)

    def list_submodules(self) -> str:
        """Return the first paths of submodules in the commit, whose files are missing here."""
        rows = self.repository.query("ls-tree", "-r", "--full-tree", self.commit.sha).splitlines()
        paths = [row.partition("\t")[2] for row in rows if row.startswith("160000 ")]
        return ", ".join(paths[:5])


@contextmanager
def checkout(ref: BaseRef, path: Path, context: Context) -> Iterator[Checkout]:
    """Yield the files of the merge base of HEAD and `ref`, in the repository of an eval set.

    Delete the files afterwards, and leave the working tree unchanged. No hook runs, and git does not
    record the folder.

    Raises:
        InvalidInput: there is no repository, or the base commit is missing and cannot be fetched.
        StoreError: the files cannot be written.
    """
    folder = (context.cwd / path).parent
    repository = open_repository(folder if folder.is_dir() else context.cwd, context.environ, ref)
    commit = find_merge_base(repository, ref, context.say)
    with (
        _interrupt_on_signals(),
        tempfile.TemporaryDirectory(prefix="evalkit-base-", ignore_cleanup_errors=True) as made,
    ):
        temporary = Path(os.path.realpath(made))
        tree = temporary / "tree"
        # The marker ends the search for the project's root here, not in a folder above.
        (tree / ".evalkit").mkdir(parents=True)
        environ = {**repository.environ, "GIT_INDEX_FILE": str(temporary / "index")}
        git_folder = repository.query("rev-parse", "--absolute-git-dir")
        # Plumbing commands: `git worktree` would leave a record in the repository and run hooks.
        for command in (
            ("read-tree", commit.sha),
            ("checkout-index", "--all", "--quiet", "--force"),
        ):
            done = run_git(
                tree, environ, f"--git-dir={git_folder}", f"--work-tree={tree}", *command
            )
            if done.returncode != 0:
                reason = done.stderr.decode(errors="replace").strip()
                raise StoreError(
                    f"the files of commit {commit.sha[:10]} could not be written: {reason}"
                )
        yield Checkout(repository=repository, commit=commit, tree=tree)


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Raise an exception when a CI system cancels the job, so that the temporary folder is deleted.

    A run sets its own signal handlers and restores the previous ones, as this function does.
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
