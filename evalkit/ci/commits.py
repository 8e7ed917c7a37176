"""Find the base commit of a change."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base_names import BASE_REF, NamedCommit, locate_remotely, resolve_base
from evalkit.ci.borrowed_objects import HEAD_REF, Repository
from evalkit.ci.private_folder import open_repository
from evalkit.ci.systems import BaseRef
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.git import find_checkout

DEEPEN_OPTIONS = ("--deepen=1", "--deepen=50", "--deepen=1000", "--unshallow")
"""Options that fetch more history into a shallow clone, tried in order until a base is found.

The first one is enough if a merge of both branches is checked out, as on GitHub.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """The base commit, and the name that it was found by.

    `is_tip` is set if it is the commit that has the name, `is_head` if it is the commit under test.
    """

    name: str
    sha: str
    is_tip: bool
    is_head: bool = False

    def __str__(self) -> str:
        if self.name == self.sha:
            return self.sha[:10]
        how = "" if self.is_tip else "the merge base, "
        return f"{self.name} ({how}{self.sha[:10]})"


def open_checkout(path: Path, folder: Path, ref: BaseRef, context: Context) -> Repository:
    """Return the repository that contains a file, read through a private git folder at `folder`.

    The current folder's repository comes first: a `.git` deeper inside, of a submodule or made by an agent,
    would have another past.

    Raises:
        InvalidInput: there is none, or nothing is committed in it.
        StoreError: the private folder cannot be written.
    """
    start = (context.cwd / path).parent
    start = start if start.is_dir() else context.cwd
    top = find_checkout(context.cwd)
    if top is None or not Path(os.path.realpath(start)).is_relative_to(top):
        top = find_checkout(start)
    if top is None:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: {start} is not in a git repository. Clone it with git."
        )
    try:
        repository = open_repository(top, folder, context.environ)
    except FileNotFoundError as error:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: git is not installed. Install git."
        ) from error
    except OSError as error:
        raise StoreError(f"{folder} could not be written: {error.strerror}.") from error
    if repository is None:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: nothing is committed in {top} yet, or git cannot read it."
        )
    return repository


def find_base_commit(repository: Repository, ref: BaseRef, say: Callable[[str], None]) -> Commit:
    """Return the newest commit on the mainline of `ref` that HEAD contains, fetched if necessary.

    That is the merge base, unless HEAD contains commits of a branch that was merged into `ref`: nobody
    gated these one by one. With the tip of `ref`, later commits of others would look like edits of this
    change.

    Raises:
        InvalidInput: the commit is missing and cannot be fetched; the message says what to fetch.
    """
    tip = resolve_base(repository, ref, say)
    if not tip.sha:
        raise _missing_commit_error(repository, ref, tip, "there is no such commit here")
    for step in ("", *DEEPEN_OPTIONS):
        if step and not repository.is_shallow:
            break
        if step:
            _deepen(repository, tip, step, say)
        if found := _find_fork_point(repository, tip.sha):
            return Commit(
                name=tip.name,
                sha=found,
                is_tip=found == tip.sha,
                is_head=found == repository.head,
            )
    raise _missing_commit_error(repository, ref, tip, "it has no commit in common with HEAD here")


def _find_fork_point(repository: Repository, tip: str) -> str:
    """Return the newest first-parent ancestor of `tip` that HEAD contains; empty if none is known.

    Every commit here descends from the tip along first parents, so there is one such commit at most, even
    if a criss-cross history has several merge bases.
    """
    try:
        done = repository.run("rev-list", "--first-parent", "--parents", tip, f"^{HEAD_REF}")
    except OSError:
        return ""
    if done.returncode != 0:
        return ""
    rows = done.stdout.decode().splitlines()
    if not rows:
        return tip
    parents = rows[-1].split()[1:]
    return parents[0] if parents else ""


def _deepen(
    repository: Repository, tip: NamedCommit, step: str, say: Callable[[str], None]
) -> None:
    """Fetch more history of the base and of HEAD. Ignore failures: the caller checks the result."""
    place = locate_remotely(repository, tip.name)
    if place is None:
        return
    remote, source = place
    say(f"fetching history from {remote}: {step}")
    # Some servers refuse to send a commit by its id, and HEAD may exist only here.
    wanted = f"+{source}:{BASE_REF}"
    for sources in ([wanted, repository.head], [wanted], [repository.head]):
        if repository.fetch(remote, sources, step):
            return


def _missing_commit_error(
    repository: Repository, ref: BaseRef, tip: NamedCommit, reason: str
) -> InvalidInput:
    shown = tip.name if ref.is_branch else ref.name
    if ref.is_branch and not ref.name:
        return InvalidInput.single(
            f"{ref.found_in} does not name the target branch of this change, and {tip.name} is "
            f"missing here. Name it: --base REMOTE/BRANCH"
        )
    place = locate_remotely(repository, tip.name)
    remote, source = place or ("origin", tip.name)
    branch = source.removeprefix("refs/heads/")
    refspec = source if branch == source else f"+{source}:refs/remotes/{remote}/{branch}"
    deeper = "--unshallow " if repository.is_shallow else ""
    return InvalidInput.single(
        f"{ref.found_in} {shown!r}: {reason}. "
        f"Fetch it first: git fetch --no-tags {deeper}{remote} {refspec}"
        + (" (with actions/checkout: fetch-depth: 0)" if repository.is_shallow else "")
    )
