"""A commit into the version of the agent that is run alongside the one under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.ci.base import BaseCheckout, find_git_folder, path_in_checkout
from evalkit.ci.commits import BaseRef, check_out, find_merge_base, list_submodules, open_repository
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.project import find_project_root
from evalkit.evalset.base_version import BaselineAgent
from evalkit.evalset.loader import load_evalset


@contextmanager
def open_baseline_agent(
    path: Path, name: str | None, world: Context
) -> Iterator[BaselineAgent | None]:
    """The agent of a set as it is at the merge base with `name`, while its files are at hand.

    Raises:
        InvalidInput: there is no such commit, or no agent in it.
    """
    if name is None:
        yield None
        return
    ref = BaseRef(name=name, found_in="--against")
    repository = open_repository(find_git_folder(path, world), world.environ, ref)
    commit = find_merge_base(repository, ref, world.say)
    world.say(f"running {commit} alongside")
    if paths := list_submodules(repository, commit.sha):
        world.say(f"warning: what is in submodules is missing there: {', '.join(paths[:5])}")
    with check_out(repository, commit.sha) as tree:
        yield find_baseline_agent(path, BaseCheckout(repository, commit, tree), world)


def find_baseline_agent(path: Path, at: BaseCheckout, world: Context) -> BaselineAgent:
    """The agent that the set names at the base; where there is no such set, that it names today."""
    there = at.tree / path_in_checkout(at.top, path)
    source = there if there.exists() else path
    root = find_project_root(there.parent, at.tree) if there.parent.is_dir() else at.tree
    evalset, _ = load_evalset(
        source, root=root if source == there else find_project_root(path.parent, world.cwd)
    )
    agent: AgentSpec | None = evalset.agent
    if agent is None:
        raise InvalidInput.single(
            f"--against: the set has no agent at {at.commit} that could be read. Name another commit."
        )
    return BaselineAgent(
        agent=agent,
        folder=there.parent,
        root=root,
        checkout=at.top,
        commit=at.commit.sha,
    )
