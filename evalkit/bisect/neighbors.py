"""Find further changes in a searched history: neighbors among the tested commits that differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from evalkit.bisect.session import SearchResult
from evalkit.bisect.verdict import Version, measure_step


def list_other_changes(found: SearchResult, names: Sequence[str]) -> tuple[str, ...]:
    """Return sentences about changes between neighbors among the tested commits, besides the one found.

    All of these tests together have the rule's alpha (Bonferroni). `names` are those of the positions.
    """
    rows = [
        (position, each.run)
        for position, each in sorted(found.tested.items())
        if each.run is not None and (each.row.verdict != "skipped")
    ]
    pairs = [
        (before, after)
        for before, after in pairwise(rows)
        if (before[0], after[0]) != (found.search.good, found.search.bad)
    ]
    sentences = []
    for before, after in pairs:
        one = Version(name=names[before[0]], run=before[1])
        other = Version(name=names[after[0]], run=after[1])
        level = found.step_rule.rule.alpha / (2 * len(pairs))
        worse = measure_step(found.step_rule, one, other, level)
        better = measure_step(found.step_rule, other, one, level)
        if worse.is_worse:
            sentences.append(f"{other.name} is also worse than {one.name}: {worse.sentence}.")
        elif better.is_worse:
            sentences.append(
                f"{other.name} is better than {one.name}, so the history does not only get worse: "
                f"{better.sentence}."
            )
    return tuple(sentences)
