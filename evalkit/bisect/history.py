"""List the commits between two commits that can have changed an agent, and describe each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base_names import resolve_base
from evalkit.ci.borrowed_objects import Repository
from evalkit.ci.systems import BaseRef
from evalkit.core.errors import InvalidInput
from evalkit.evalset.nodes import MappingNode, to_plain_value
from evalkit.evalset.yaml import parse_yaml
from evalkit.report.bisect import CommitDescription

_FORMAT = "%H%x00%P%x00%an <%ae>%x00%aI%x00%s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Which commits of a history are tested.

    `set_file` is the eval set, and `own_files` are files that this checkout provides for every commit, such
    as the cases. A commit that changes only these, and not the agent's section, leaves the agent as it was.
    `paths` limits the search to commits that change a file in one of these. With `every`, all commits count.
    Paths start from the top of the repository.
    """

    set_file: str
    own_files: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    every: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitRange:
    """The commits after `good` up to `bad`, oldest first, that can have changed the agent.

    `left_out` counts the others between them.
    """

    good: CommitDescription
    bad: CommitDescription
    commits: tuple[CommitDescription, ...]
    left_out: int


def read_range(
    repository: Repository, good: str, bad: str, scope: Scope, say: Callable[[str], None]
) -> CommitRange:
    """Return the history between two commits, along the first parents of `bad`.

    Raises:
        InvalidInput: a name is no commit, `good` is no ancestor of `bad`, or no commit changed the agent.
    """
    first = _resolve(repository, good, "GOOD", say)
    last = _resolve(repository, bad, "BAD", say)
    if first == last:
        raise InvalidInput.single(
            f"GOOD {good!r} and BAD {bad!r} are the same commit. Name two commits."
        )
    if repository.query("merge-base", first, last) != first:
        raise InvalidInput.single(
            f"GOOD {good!r} is not an ancestor of BAD {bad!r}. {_advise(repository, first, last)}"
        )
    mainline = repository.query("rev-list", "--first-parent", f"{first}..{last}").split()
    after_good = set(repository.query("rev-list", "--ancestry-path", f"{first}..{last}").split())
    shas = [sha for sha in reversed(mainline) if sha in after_good]
    before = [first, *shas]
    kept = [
        sha
        for sha, previous in zip(shas, before, strict=False)
        if scope.every or _can_change_agent(repository, previous, sha, scope)
    ]
    if not kept:
        where = f" in {', '.join(scope.paths)}" if scope.paths else ""
        raise InvalidInput.single(
            f"none of the {len(shas):,} commits between GOOD {good!r} and BAD {bad!r} changes a file of "
            f"the agent{where}. Test all of them with --all."
        )
    return CommitRange(
        good=describe_commit(repository, first),
        bad=describe_commit(repository, last),
        commits=tuple(describe_commit(repository, sha) for sha in kept),
        left_out=len(shas) - len(kept),
    )


def describe_commit(repository: Repository, sha: str) -> CommitDescription:
    """Return what git says about a commit."""
    shown = repository.query(
        "show", "--no-patch", "--no-show-signature", f"--format={_FORMAT}", sha
    )
    found, parents, author, date, subject = [*shown.split("\0", 4), "", "", "", "", ""][:5]
    return CommitDescription(
        sha=found or sha, parents=tuple(parents.split()), author=author, date=date, subject=subject
    )


def list_changed_files(repository: Repository, before: str, after: str) -> tuple[str, ...]:
    """Return the paths that differ between two commits."""
    names = repository.query(
        *("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-textconv", before, after)
    )
    return tuple(name for name in names.split("\0") if name)


def find_merge_base(repository: Repository, one: str, other: str) -> str:
    """Return the newest common ancestor of two commits; empty if there is none."""
    return repository.query("merge-base", one, other)


def path_in_repository(repository: Repository, path: Path) -> str:
    """Return a path as git writes it, from the top of the repository; empty if it is outside."""
    real = Path(os.path.realpath(path.parent)) / path.name
    return (
        real.relative_to(repository.top).as_posix() if real.is_relative_to(repository.top) else ""
    )


def _resolve(repository: Repository, name: str, role: str, say: Callable[[str], None]) -> str:
    """Return the id of the commit that a name leads to.

    Raises:
        InvalidInput: there is no such commit.
    """
    found = resolve_base(repository, BaseRef(name=name, found_in=role), say)
    if not found.sha:
        advice = "git fetch --unshallow" if repository.is_shallow else "git fetch --tags"
        raise InvalidInput.single(
            f"{role} {name!r}: there is no such commit here. Check the name, or fetch it: {advice}"
        )
    return found.sha


def _advise(repository: Repository, good: str, bad: str) -> str:
    if repository.query("merge-base", good, bad) == bad:
        return "BAD is the ancestor: exchange them."
    if repository.is_shallow:
        return "This clone has only a part of the history. Fetch the rest: git fetch --unshallow"
    base = find_merge_base(repository, good, bad)
    return f"Begin at their merge base: {base[:10]}" if base else "They have no commit in common."


def _can_change_agent(repository: Repository, before: str, after: str, scope: Scope) -> bool:
    """Return whether the difference of two commits can change the agent."""
    changed = list_changed_files(repository, before, after)
    if scope.paths and not any(_is_in(name, folder) for name in changed for folder in scope.paths):
        return False
    others = [name for name in changed if name not in scope.own_files and name != scope.set_file]
    if others:
        return True
    return scope.set_file in changed and (
        _read_agent_section(repository, before, scope.set_file)
        != _read_agent_section(repository, after, scope.set_file)
    )


def _is_in(name: str, folder: str) -> bool:
    return folder in ("", ".") or name == folder or name.startswith(f"{folder}/")


def _read_agent_section(repository: Repository, sha: str, set_file: str) -> object:
    """Return the agent's section of a set at a commit; what cannot be read equals nothing."""
    done = repository.run("show", "--no-textconv", f"{sha}:{set_file}")
    node = parse_yaml(done.stdout, set_file, []) if done.returncode == 0 else None
    if not isinstance(node, MappingNode):
        return object()
    member = node.members.get("agent")
    return to_plain_value(member.node) if member else None
