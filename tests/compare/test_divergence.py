"""The first difference of a trial from the baseline trials of its case."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evalkit.compare.divergence import Difference, Step, TrialSteps, find_divergence, read_steps
from evalkit.core.spans import NO_TOOL_CALLS, Span, ToolCall
from evalkit.core.trial import Output


def tool(name: str, *, failed: bool = False, result: object = None, **arguments: object) -> Step:
    return Step("tool", name, "", arguments, failed, result)


def model(name: str) -> Step:
    return Step("model", "", name)


def trial(*steps: Step, answer: str = "yes") -> TrialSteps:
    return TrialSteps(steps, answer)


A, B, C = tool("a"), tool("b", x=1), tool("c")


@pytest.mark.parametrize(
    ("base", "now", "number", "sentences"),
    [
        ([A, B, C], [A, tool("d"), C], 2, ["d instead of b"]),
        ([A, B, C], [A, tool("d"), B, C], 2, ["extra step d"]),
        ([A, B, C], [A, C], 2, ["no b any more"]),
        ([A, B], [A], 2, ["no b any more"]),
        ([A], [A, B], 2, ["extra step b"]),
        ([A, B], [A, tool("b", x=2)], 2, ["other argument x of b"]),
        ([A, B], [A, tool("b", x=1, y=2)], 2, ["other argument y of b"]),
        ([A, B], [A, tool("b", x=True)], 2, ["other argument x of b"]),
        ([A, B], [A, tool("b", x=1, failed=True)], 2, ["b fails"]),
        ([A, tool("b", failed=True)], [A, tool("b")], 2, ["b fails no more"]),
        ([model("m1"), A], [model("m2"), A], 1, ["model m2 instead of m1"]),
        ([model("m1"), A], [A], 1, ["no model call any more"]),
        ([], [A], 1, ["extra step a"]),
        ([A], [], 1, ["no a any more"]),
        ([A, B], [A, B], 0, []),
    ],
)
def test_the_first_step_that_differs_is_named(
    base: Sequence[Step], now: Sequence[Step], number: int, sentences: list[str]
) -> None:
    found = find_divergence([trial(*base)], trial(*now))
    assert (found.number, [each.sentence for each in found.differences]) == (number, sentences)


def test_the_nearest_baseline_trial_counts() -> None:
    base = [trial(C, A, B), trial(A, B, B), trial(A, C, B)]
    found = find_divergence(base, trial(A, B, C))
    assert (found.number, found.differences[0].sentence) == (3, "c instead of b")
    assert find_divergence(base, trial(A, C, B)).differences == ()


def test_results_and_the_answer_count_only_where_all_steps_agree() -> None:
    early, late = tool("a", result="10:00"), tool("a", result="11:00")
    found = find_divergence([trial(early, B)], trial(late, tool("b", x=2), answer="no"))
    assert found.differences == (Difference("argument", "b", "x"),)
    found = find_divergence([trial(early, B)], trial(late, B, answer="no"))
    assert (found.number, found.differences) == (1, (Difference("result", "a"),))
    found = find_divergence([trial(early, B), trial(late, B)], trial(late, B, answer="no"))
    assert (found.number, found.differences) == (0, (Difference("answer"),))


@pytest.mark.parametrize(
    ("base", "now"),
    [
        ([model("m1"), A, B], [model("m2"), A, C]),
        ([A, B], [tool("plan"), A, C]),
        ([tool("plan"), A, B], [A, C]),
        ([tool("a", y=1), B], [tool("a", y=2), C]),
        ([tool("a", failed=True), B], [tool("a"), C]),
    ],
)
def test_an_ignored_difference_gives_way_to_the_next(
    base: Sequence[Step], now: Sequence[Step]
) -> None:
    first = find_divergence([trial(*base)], trial(*now))
    assert first.number == 1
    found = find_divergence([trial(*base)], trial(*now), frozenset(first.differences))
    assert [each.sentence for each in found.differences] == ["c instead of b"]


def test_steps_are_spans_or_else_reported_calls() -> None:
    call = ToolCall(name="a", arguments={"x": 1})
    spans = (Span(id="1", name="plan", kind="model", model="m1"),)
    output = Output(text="t", tool_calls=(call,), spans=spans)
    by_spans, by_calls = (read_steps(output, use_spans=each) for each in (True, False))
    assert by_spans is not None
    assert by_calls is not None
    assert [step.label for step in by_spans.steps] == ["model call", "a"]
    assert [step.label for step in by_calls.steps] == ["a"]
    assert read_steps(Output(text="t"), use_spans=False) is None, "unknown is not none"
    none = read_steps(Output(text="t", flags=(NO_TOOL_CALLS,)), use_spans=False)
    assert none is not None
    assert list(none.steps) == []
