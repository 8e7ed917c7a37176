"""The project that one command works in: its root, its git state and the eval sets read in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import EvalSet
from evalkit.core.location import Problem
from evalkit.core.project import (
    GitState,
    digest_edits,
    find_project_root,
    read_git_state,
    relative_to_root,
)


class Project:
    """The project of one command. Its root, git state and eval sets are each read once."""

    def __init__(self, start: Path, cwd: Path, environ: Mapping[str, str]) -> None:
        self.cwd = cwd
        self.environ = environ
        self.root = find_project_root(start, cwd)
        self._evalsets: dict[Path, tuple[EvalSet, list[Problem]]] = {}

    @classmethod
    def open(cls, context: Context, evalset: Path | None = None) -> Project:
        """Return the project that contains an eval set, or else the current folder."""
        start = evalset.parent if evalset is not None else context.cwd
        return cls(start, context.cwd, context.environ)

    @cached_property
    def git(self) -> GitState:
        """The git state of the project's root."""
        return read_git_state(self.root, self.environ)

    def digest_edits(self, evalset: Path) -> str:
        """Return a digest of the uncommitted edits of the code that a run of a set tests; empty if none.

        Edits of the set and of `evalkit.yaml` are not among them, because a run has their content.
        """
        if not self.git.dirty:
            return ""
        ignored = (self.relative(evalset), "evalkit.yaml", "**/evalkit.yaml")
        return digest_edits(self.root, self.environ, ignored)

    @cached_property
    def contains_cwd(self) -> bool:
        """Whether a command in the current folder works in this project."""
        return Project(self.cwd, self.cwd, self.environ).root == self.root

    def relative(self, path: Path) -> str:
        """Return a path in its stored form; see `relative_to_root`."""
        return relative_to_root(self.root, path)

    def load(self, path: Path) -> tuple[EvalSet, list[Problem]]:
        """Read an eval set as far as possible and return it with its problems; see `load_evalset`."""
        if path not in self._evalsets:
            # Imported here because commands on stored runs do not need the YAML parser.
            from evalkit.evalset.loader import load_evalset  # noqa: PLC0415

            self._evalsets[path] = load_evalset(path, root=self.root)
        evalset, problems = self._evalsets[path]
        return evalset, list(problems)

    def load_valid(self, path: Path) -> EvalSet:
        """Read an eval set that must be free of problems.

        Raises:
            InvalidInput: every problem in it.
        """
        evalset, problems = self.load(path)
        if problems:
            raise InvalidInput(problems)
        return evalset
