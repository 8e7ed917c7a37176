"""The search finds the commit, however many commits it cannot decide, in few steps and with one alpha."""

from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.bisect.search import (
    Search,
    Verdict,
    count_steps,
    level_at_step,
    next_look,
    share_at_look,
)


def search(count: int, culprit: int, undecidable: frozenset[int]) -> tuple[Search, list[int]]:
    """Run a search in which every commit from the culprit on is bad, and return what it tested."""
    state, tested = Search.start(count), []
    while (commit := state.next_commit) is not None:
        tested.append(commit)
        verdict: Verdict = "bad" if commit >= culprit else "good"
        state = state.record(commit, "skipped" if commit in undecidable else verdict)
    return state, tested


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, frozenset[int]]:
    count = draw(st.integers(1, 200))
    culprit = draw(st.integers(1, count))
    # The last commit is BAD, which was decided before the search.
    skipped = draw(st.frozensets(st.integers(1, count))) - {count}
    return count, culprit, skipped


@given(histories())
def test_the_culprit_is_always_among_the_suspects(
    history: tuple[int, int, frozenset[int]],
) -> None:
    count, culprit, undecidable = history
    state, tested = search(*history)
    assert culprit in state.suspects
    assert len(tested) == len(set(tested))
    assert set(tested) <= set(range(1, count))
    # All suspects but the last one were tried in vain, so nothing can narrow them down further.
    assert set(state.suspects[:-1]) <= state.skipped <= undecidable
    assert state.bad not in undecidable
    assert state.good not in undecidable


@given(histories())
def test_verdicts_halve_what_is_left_and_a_skip_costs_one_step(
    history: tuple[int, int, frozenset[int]],
) -> None:
    count, _, undecidable = history
    _, tested = search(*history)
    skips = len(set(tested) & undecidable)
    assert len(tested) - skips <= count_steps(count)
    assert count_steps(count) == (ceil(log2(count)) if count > 1 else 0)


@given(st.integers(1, 200), st.data())
def test_without_skips_one_commit_remains(count: int, data: st.DataObject) -> None:
    culprit = data.draw(st.integers(1, count))
    state, _ = search(count, culprit, frozenset())
    assert list(state.suspects) == [culprit]


@given(st.integers(0, 12), st.integers(0, 300), st.floats(0.0001, 0.4))
def test_all_steps_together_have_one_alpha(planned: int, steps: int, alpha: float) -> None:
    levels = [level_at_step(alpha, step, planned) for step in range(steps)]
    assert sum(levels) <= alpha * (1 + 1e-9)
    assert levels == sorted(levels, reverse=True)
    assert all(level > 0 for level in levels[: planned + 10])


@given(st.integers(1, 100))
def test_all_looks_of_a_step_together_have_its_level(most: int) -> None:
    looks, trials = [], 1
    while True:
        looks.append(trials)
        following = next_look(trials, most)
        if following is None:
            break
        assert trials < following <= most
        trials = following
    assert looks[-1] == most
    assert sum(share_at_look(each, most) for each in looks) == pytest.approx(1.0)
