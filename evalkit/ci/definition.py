"""Choose the base of a build, and say where the gate's definition comes from if there is none."""

from __future__ import annotations

from evalkit.ci.commits import Commit
from evalkit.ci.systems import BaseRef, Build
from evalkit.core.errors import InvalidInput
from evalkit.core.gate_source import DefinitionSource

OWN_DEFINITION = "gate definition: this checkout's own"
"""How the sentence of every report begins if no other commit defines the gate."""


def choose_base(option: str | None, build: Build | None, *, require: bool) -> BaseRef | None:
    """Return the base that `--base` names, else the one of the build; None if there is none.

    Raises:
        InvalidInput: there is none, and one is required.
    """
    is_change = build is not None and build.is_change
    if option is not None:
        return BaseRef(name=option, found_in="--base", prefers_remote=is_change)
    if build is not None and build.base is not None:
        return build.base
    if require:
        raise InvalidInput.single(
            f"--require-base: there is no base, because {_explain_missing_base(build)}. "
            f"Name it: --base REMOTE/BRANCH"
        )
    return None


def _explain_missing_base(build: Build | None) -> str:
    if build is None:
        return "this is no build of a CI system that names one"
    if build.is_change:
        return f"{build.system.name} does not name the target branch of this change"
    if build.is_side_branch:
        return f"{build.system.name} builds a branch, not a pull request"
    if build.system.change:
        return f"{build.system.name} builds no pull request here"
    return "the environment of this CI system does not name the target of a change"


def describe_definition(
    build: Build | None, commit: Commit | None = None, *, require: bool = False
) -> DefinitionSource | None:
    """Return where the gate's definition comes from; None outside of CI, or if it is from another commit.

    Raises:
        InvalidInput: the base of a change is the change itself, and a base is required.
    """
    if build is None:
        return None
    if commit is not None:
        if not (build.is_change and commit.is_head):
            return None
        sentence = (
            f"{OWN_DEFINITION}, because the base {commit} is the commit under test: no edit of this change "
            f"was compared. Check out the change itself, or name the commit it starts from: "
            f"--base REMOTE/BRANCH"
        )
        if require:
            raise InvalidInput.single(f"--require-base: {sentence}")
        return DefinitionSource(sentence=sentence, warning=True)
    why = _explain_missing_base(build)
    if build.system.change and not (build.is_change or build.is_side_branch):
        return DefinitionSource(sentence=f"{OWN_DEFINITION}; {why}", warning=False)
    return DefinitionSource(
        sentence=f"{OWN_DEFINITION}, because {why}. A change could loosen it unseen. Name the target branch: "
        f"--base REMOTE/BRANCH. With --require-base, a run without a base exits 2.",
        warning=True,
    )


def describe_uncompared(build: Build | None) -> DefinitionSource | None:
    """Return where the gate's definition comes from for a command that takes no base; None outside of CI."""
    if build is None:
        return None
    sentence = f"{OWN_DEFINITION}, because this command looks for no base. `evalkit gate` does"
    return DefinitionSource(sentence=f"{sentence}.", warning=build.is_change)
