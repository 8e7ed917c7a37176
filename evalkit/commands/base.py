"""`evalkit base`: find the commit that the gate of a change comes from, once for all commands of a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base_files import find_commit
from evalkit.ci.definition import OWN_DEFINITION, choose_base, describe_definition
from evalkit.ci.systems import find_build
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBase:
    """The id of the base commit, empty if there is none, and a sentence about where it is from."""

    commit: str
    sentence: str


def find_base(
    name: str | None, context: Context, *, require: bool, path: Path | None = None
) -> FoundBase:
    """Return the base that `name` leads to, else the one of the change that CI builds.

    It is that of the repository of `path`, or else of the current folder.

    Raises:
        InvalidInput: it is missing and cannot be fetched, or there is none and one is required.
    """
    build = find_build(context.environ)
    ref = choose_base(name, build, require=require)
    commit = None
    if ref is not None:
        try:
            commit = find_commit(ref, path or context.cwd / "_", context)
        except InvalidInput:
            # As in a run: a default branch that is missing was only a guess.
            if ref.name or require:
                raise
    source = describe_definition(build, commit, require=require)
    found = f"gate definition: as of {commit}" if commit is not None else OWN_DEFINITION
    return FoundBase(
        commit=commit.sha if commit is not None else "",
        sentence=source.sentence if source is not None else found,
    )
