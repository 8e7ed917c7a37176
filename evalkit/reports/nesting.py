"""The spans of a trial as a tree: each below the one that it was part of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A span and how deep it stands, from 1 on."""

    span: Span
    depth: int


def grow(spans: Sequence[Span]) -> list[Branch]:
    """Every span once, from the top down, each before what is below it.

    One whose parent is not there stands at the top, and so do those that are each other's parents.
    """
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else ""
        below.setdefault(parent, []).append(span)
    branches: list[Branch] = []
    seen: set[str] = set()
    for top in (*below.get("", ()), *spans):
        waiting = [Branch(span=top, depth=1)]
        while waiting:
            branch = waiting.pop()
            if branch.span.id in seen:
                continue
            seen.add(branch.span.id)
            branches.append(branch)
            children = reversed(below.get(branch.span.id, []))
            waiting += [Branch(span=child, depth=branch.depth + 1) for child in children]
    return branches
