"""List the commits between two commits that can have changed an agent, and describe each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evalkit.ci.base_names import resolve_base
from evalkit.ci.borrowed_objects import Repository
from evalkit.ci.systems import BaseRef
from evalkit.core.errors import InvalidInput
from evalkit.evalset.nodes import MappingNode, to_plain_value
from evalkit.evalset.yaml import parse_yaml
from evalkit.report.bisect import CommitDescription

_RECORD = "\x01"
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

    def lists(self, files: Sequence[str]) -> bool:
        """Return whether one of the files is in `paths`."""
        return not self.paths or any(_is_in(name, each) for name in files for each in self.paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitRange:
    """The commits after `good` up to `bad`, oldest first, that can have changed the agent.

    `left_out` counts the others between them. `unlisted[i]` counts those before `commits[i]`, and after the
    commit before it, that can have changed the agent too, but not in `Scope.paths`.
    """

    good: CommitDescription
    bad: CommitDescription
    commits: tuple[CommitDescription, ...]
    left_out: int
    unlisted: tuple[int, ...]


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
    after_good = set(repository.query("rev-list", "--ancestry-path", f"{first}..{last}").split())
    logged = [each for each in _read_log(repository, first, last) if each.commit.sha in after_good]
    kept: list[CommitDescription] = []
    unlisted = [0]
    for each in logged:
        if not scope.every and not _can_change_agent(repository, each, scope):
            continue
        if scope.lists(each.files):
            kept.append(each.commit)
            unlisted.append(0)
        else:
            unlisted[-1] += 1
    if not kept:
        where = f" in {', '.join(scope.paths)}" if scope.paths else ""
        raise InvalidInput.single(
            f"none of the {len(logged):,} commits between GOOD {good!r} and BAD {bad!r} changes a file "
            f"of the agent{where}. Test all of them with --all."
        )
    # BAD takes the place of the last commit, so what follows that one counts as a part of it.
    unlisted[-2:] = [sum(unlisted[-2:])]
    return CommitRange(
        good=describe_commit(repository, first),
        bad=describe_commit(repository, last),
        commits=tuple(kept),
        left_out=len(logged) - len(kept),
        unlisted=tuple(unlisted),
    )


def describe_commit(repository: Repository, sha: str) -> CommitDescription:
    """Return what git says about a commit."""
    shown = repository.query(
        "show", "--no-patch", "--no-show-signature", f"--format={_FORMAT}", sha
    )
    return _parse_description(shown.split("\0"))


def _parse_description(fields: Sequence[str]) -> CommitDescription:
    sha, parents, author, date, subject = [*fields, *[""] * 5][:5]
    return CommitDescription(
        sha=sha, parents=tuple(parents.split()), author=author, date=date, subject=subject
    )


class _LoggedCommit(NamedTuple):
    """A commit with the files that differ from its first parent."""

    commit: CommitDescription
    files: tuple[str, ...]


def _read_log(repository: Repository, first: str, last: str) -> list[_LoggedCommit]:
    """Return the commits after `first` along the first parents of `last`, oldest first.

    `-m` with `--first-parent` compares a merge with its first parent, also in old versions of git.
    """
    text = repository.query(
        *("log", "--first-parent", "-m", "--reverse", "--topo-order", "--no-show-signature"),
        *("-z", "--name-only", "--no-renames", "--no-textconv", "--no-notes"),
        *(f"--format={_RECORD}{_FORMAT}%x00", f"{first}..{last}"),
    )
    found = []
    for record in text.split(_RECORD)[1:]:
        fields = record.split("\0")
        files = (name.removeprefix("\n") for name in fields[5:])
        found.append(_LoggedCommit(_parse_description(fields), tuple(filter(None, files))))
    return found


def list_files_changed_between(repository: Repository, before: str, after: str) -> tuple[str, ...]:
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


def _can_change_agent(repository: Repository, logged: _LoggedCommit, scope: Scope) -> bool:
    """Return whether a commit can change the agent."""
    commit, files = logged
    if any(name not in scope.own_files and name != scope.set_file for name in files):
        return True
    before = commit.parents[0] if commit.parents else ""
    return scope.set_file in files and (
        _read_agent_section(repository, before, scope.set_file)
        != _read_agent_section(repository, commit.sha, scope.set_file)
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
