"""Pair items of two lists so that as many as possible have a partner."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.metrics.deadline import check_deadline


def match_pairs(partners: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Return a largest matching, found by augmenting paths (Kuhn 1955).

    `partners` has, for each item of one list, the indexes of the items of the other that agree with it.
    The first list may have a few hundred items.
    """
    taken_by: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in partners[i]:
            if j in tried:
                continue
            tried.add(j)
            if j not in taken_by or place(taken_by[j], tried):
                taken_by[j] = i
                return True
        return False

    for i in range(len(partners)):
        check_deadline("pairing the items")
        place(i, set())
    return [(i, j) for j, i in taken_by.items()]
