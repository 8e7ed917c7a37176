"""Read who accepted a change, and check that it is the commit under test."""

from __future__ import annotations

import re

from evalkit.core.errors import InvalidInput
from evalkit.core.gate_source import Acceptance
from evalkit.core.git import read_git
from evalkit.evalset.project import Project

_ACCEPTED_BY = re.compile(r"(?P<who>[^\s@]{1,100})@(?P<commit>[0-9a-f]{40,64})")
_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)


def parse_acceptance(text: str) -> Acceptance:
    """Return the value of `--accepted-by`.

    Raises:
        InvalidInput: it is not a name, `@`, and a whole commit id.

    >>> parse_acceptance("ann@" + "0" * 40).who
    'ann'
    """
    match = _ACCEPTED_BY.fullmatch(text)
    if match is None:
        raise InvalidInput.single(
            f"--accepted-by {text!r}: write WHO@COMMIT, with the whole commit id."
        )
    return Acceptance(who=match["who"], commit=match["commit"])


def refuse_other_commit(acceptance: Acceptance | None, project: Project) -> None:
    """Refuse to accept a checkout that is neither the accepted commit nor a merge of it.

    Raises:
        InvalidInput: it is another commit.
    """
    if acceptance is None:
        return
    git = project.git
    content = read_git(project.root, project.environ, "cat-file", "-p", "HEAD")
    header = content.partition(b"\n\n")[0]
    # The first parent of a merge is the branch that the accepted commit is merged into.
    merged = [parent.decode() for parent in _PARENT.findall(header)[1:]]
    if acceptance.commit not in (git.commit, *merged):
        raise InvalidInput.single(
            f"--accepted-by: {acceptance.commit[:10]} was accepted, but the checkout is at "
            f"{git.commit[:10] or 'no commit'}. Accept this commit, or check out that one."
        )
