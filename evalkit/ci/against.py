"""Find the agent of another commit, to compare with (`--against`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.ci.base_files import Checkout, checkout, find_commit
from evalkit.ci.systems import BaseRef
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.evalset.base_version import BaselineAgent
from evalkit.evalset.project import Project

_OPTION = "--against"


@contextmanager
def open_baseline_agent(
    path: Path, name: str | None, project: Project, context: Context
) -> Iterator[BaselineAgent | None]:
    """Yield the agent of a set at the merge base with `name`, while its files exist.

    Raises:
        InvalidInput: there is no such commit, or no agent in it.
    """
    if name is None:
        yield None
        return
    with checkout(BaseRef(name=name, found_in=_OPTION), path, context) as base:
        context.say(f"running the agent of {base.commit} as the baseline")
        if paths := base.list_submodules():
            context.say(f"warning: the files of submodules are missing there: {paths}")
        yield find_agent_at(path, base, project, found_in=_OPTION)


def find_against_commit(path: Path, name: str, context: Context) -> str:
    """Return the id of the merge base with `name`, in the repository of a set.

    Raises:
        InvalidInput: there is no such commit.
    """
    return find_commit(BaseRef(name=name, found_in=_OPTION), path, context).sha


def find_agent_at(path: Path, base: Checkout, project: Project, *, found_in: str) -> BaselineAgent:
    """Return the agent in the set at a commit; if the commit has no set, the one in today's.

    Raises:
        InvalidInput: the set has no readable agent there; `found_in` says what named the commit.
    """
    base_path = base.locate(path)
    start = base_path.parent if base_path.parent.is_dir() else base.tree
    base_project = Project(start, base.tree, project.environ)
    evalset, _ = base_project.load(base_path) if base_path.exists() else project.load(path)
    if evalset.agent is None:
        raise InvalidInput.single(
            f"{found_in}: the set has no readable agent at {base.commit}. Name another commit."
        )
    return BaselineAgent(
        agent=evalset.agent,
        folder=base_path.parent,
        root=base_project.root,
        checkout=base.repository.top,
        commit=base.commit.sha,
    )
