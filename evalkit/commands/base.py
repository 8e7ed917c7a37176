"""`evalkit base`: find the commit that the gate of a change comes from, once for all commands of a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base_files import find_commit
from evalkit.ci.definition import choose_base, describe_definition
from evalkit.ci.systems import find_build
from evalkit.core.context import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBase:
    """The id of the base commit, empty if there is none, and a sentence about where it is from."""

    commit: str
    sentence: str


def find_base(name: str | None, context: Context, *, require: bool) -> FoundBase:
    """Return the base that `name` leads to, else the one of the change that CI builds.

    Raises:
        InvalidInput: it is missing and cannot be fetched, or there is none and one is required.
    """
    build = find_build(context.environ)
    ref = choose_base(name, build, require=require)
    if ref is None:
        source = describe_definition(build)
        sentence = source.sentence if source is not None else "this checkout's own"
        return FoundBase(commit="", sentence=f"gate definition: {sentence}")
    commit = find_commit(ref, Path(context.cwd) / "_", context)
    source = describe_definition(build, commit, require=require)
    sentence = source.sentence if source is not None else f"as of {commit}"
    return FoundBase(commit=commit.sha, sentence=f"gate definition: {sentence}")
