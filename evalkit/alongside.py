"""A commit into the version of the agent that is run alongside the one under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.basing import BaseFiles, folder_of, place_in
from evalkit.commits import BaseRef, check_out, find_commit, list_submodules, open_repository
from evalkit.errors import InvalidInput
from evalkit.holding import Rival
from evalkit.loading.evalset import load_evalset
from evalkit.project import find_root
from evalkit.records import AgentSpec
from evalkit.world import World


@contextmanager
def open_rival(path: Path, name: str | None, world: World) -> Iterator[Rival | None]:
    """The agent of a set as it is at the merge base with `name`, while its files are at hand.

    Raises:
        InvalidInput: there is no such commit, or no agent in it.
    """
    if name is None:
        yield None
        return
    ref = BaseRef(name=name, found_in="--against")
    repository = open_repository(folder_of(path, world), world.environ, ref)
    commit = find_commit(repository, ref, world.say)
    world.say(f"running {commit} alongside")
    if paths := list_submodules(repository, commit.sha):
        world.say(f"warning: what is in submodules is missing there: {', '.join(paths[:5])}")
    with check_out(repository, commit.sha) as tree:
        yield find_rival(path, BaseFiles(repository, commit, tree), world)


def find_rival(path: Path, at: BaseFiles, world: World) -> Rival:
    """The agent that the set names at the base; where there is no such set, that it names today."""
    there = at.tree / place_in(at.top, path)
    source = there if there.exists() else path
    root = find_root(there.parent, at.tree) if there.parent.is_dir() else at.tree
    evalset, _ = load_evalset(
        source, root=root if source == there else find_root(path.parent, world.cwd)
    )
    agent: AgentSpec | None = evalset.agent
    if agent is None:
        raise InvalidInput.single(
            f"--against: the set has no agent at {at.commit} that could be read. Name another commit."
        )
    return Rival(
        agent=agent,
        folder=there.parent,
        root=root,
        checkout=at.top,
        commit=at.commit.sha,
    )
