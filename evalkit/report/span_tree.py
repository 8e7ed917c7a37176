"""Arrange the spans of a trial as a tree, for the terminal and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.core.spans import Span


class TreeNode(NamedTuple):
    """A span and its depth, starting at 1."""

    span: Span
    depth: int


def is_failed(span: Span) -> bool:
    """Return whether a step failed."""
    return bool(span.error or span.error_type)


def step_name(span: Span) -> str:
    """Return the kind of a step and the tool or model it called, or the span's own name."""
    if span.kind == "tool":
        return f"tool {span.tool or span.name}"
    if span.kind == "model":
        return f"model {span.model or span.name}"
    return span.name


def build_tree(spans: Sequence[Span]) -> list[TreeNode]:
    """Return every span once, in depth-first order, each parent before its children.

    A span whose parent is missing is a root. So is the first span of a cycle of parents.
    """
    known = {span.id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else ""
        children.setdefault(parent, []).append(span)
    nodes: list[TreeNode] = []
    visited: set[str] = set()
    # The second pass over all spans reaches cycles, which have no root.
    for root in (*children.get("", ()), *spans):
        stack = [TreeNode(root, 1)]
        while stack:
            node = stack.pop()
            if node.span.id in visited:
                continue
            visited.add(node.span.id)
            nodes.append(node)
            below = reversed(children.get(node.span.id, []))
            stack += [TreeNode(child, node.depth + 1) for child in below]
    return nodes
