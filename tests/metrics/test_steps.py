"""Metrics of what an agent did: its tool calls, steps and outcome, reported by itself or by spans."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.spans import NO_TOOL_CALLS, Span, ToolCall, Usage
from evalkit.core.trial import Output, Score
from evalkit.metrics.scorers import Scorer
from evalkit.metrics.tool_call_alignment import ExpectedCall, align_calls
from evalkit.metrics.tool_calls import PLAIN_COMPARERS
from evalkit.trace.totals import fill_from_spans
from tests.conftest import Project
from tests.metrics.test_builtin import labelled, law, metric_spec, open_all, problems_of, run_score


def call(name: str, error: str | None = None, /, **arguments: Json) -> ToolCall:
    return ToolCall(name=name, arguments=arguments, error=error)


def made(*calls: ToolCall | str) -> Output:
    """Return the output of an agent that reports its tool calls."""
    named = tuple(call(each) if isinstance(each, str) else each for each in calls)
    return Output(tool_calls=named, flags=() if named else (NO_TOOL_CALLS,))


def score_of(ref: str, args: Mapping[str, Json], output: Output, expected: Json = None) -> Score:
    [scorer] = open_all(metric_spec(ref, args))
    case = labelled(expected)
    assert scorer.applies_to(case)
    assert scorer.problem_with(case) is None
    return run_score(scorer, case, output)


def score_calls(mode: str, expected: Json, output: Output, **args: Json) -> Score:
    return score_of("tool_calls", {"mode": mode, "expected": "", **args}, output, expected)


# --- tool_calls ---------------------------------------------------------------------------------

MODES = ("exact", "in_order", "any_order", "subset", "superset")

ALIGNED = [
    ("a b", "a b", "exact in_order any_order subset superset"),
    ("a b", "b a", "any_order subset superset"),
    ("a b", "a x b", "in_order superset"),
    ("a b", "b x a", "superset"),
    ("a b", "a", "subset"),
    ("a b", "", "subset"),
    ("a b", "x", ""),
    ("a a", "a", "subset"),
    ("a", "a a", "in_order superset"),
    ("a b a", "a a b", "any_order subset superset"),
]


@pytest.mark.parametrize(("expected", "calls", "holding"), ALIGNED)
def test_each_mode_holds_for_the_calls_it_is_meant_for(
    expected: str, calls: str, holding: str
) -> None:
    for mode in MODES:
        scored = score_calls(mode, expected.split(), made(*calls.split()))
        assert scored.passed is (mode in holding.split()), (mode, scored.explanation)


def test_the_value_is_f1_and_the_explanation_has_its_parts_and_the_first_difference() -> None:
    scored = score_calls("exact", ["look", "pay", "mail"], made("look", "mail"))
    assert scored.value == pytest.approx(0.8)
    assert scored.explanation == "pay() was not called (precision 1.00, recall 0.67)"
    scored = score_calls("exact", ["look"], made("look", "look"))
    assert scored.explanation == "call 2 was not expected: look() (precision 0.50, recall 1.00)"
    scored = score_calls("exact", ["look", "pay"], made("pay", "look"))
    assert "in this order" in scored.explanation


def test_no_call_expected_passes_who_says_that_none_was_made_and_only_them() -> None:
    assert score_calls("exact", [], made()) == Score(metric="tool_calls", value=1.0, passed=True)
    assert score_calls("exact", [], made("look")).value == 0
    untold = score_calls("exact", [], Output(text="done"))
    assert (untold.state, untold.passed) == ("skipped", None)
    assert score_calls("exact", ["look"], Output(text="done")).passed is False


LOOK = [{"name": "look", "arguments": {"id": "A17", "deep": {"x": 1}}}]


@pytest.mark.parametrize(
    ("how", "arguments", "passes"),
    [
        ("exact", {"id": "A17", "deep": {"x": 1}}, True),
        ("exact", {"id": "A17", "deep": {"x": True}}, False),
        ("exact", {"id": "A17", "deep": {"x": 1}, "more": 1}, False),
        ("subset", {"id": "A17", "deep": {"x": 1.0, "y": 2}, "more": 1}, True),
        ("subset", {"id": "A17"}, False),
        ("ignore", {}, True),
        ("similarity", {"id": "B 18", "deep": {"x": 1}}, False),
        ({"similarity": 0.7}, {"id": "A 17", "deep": {"x": 1}}, True),
        ({"similarity": {"pass_at": 0.7}}, {"id": "A 17", "deep": {"x": 2}}, False),
        ("exact_match", {"id": "A17\n", "deep": {"x": 1}, "more": 1}, True),
        ("exact_match", {"id": "A18", "deep": {"x": 1}}, False),
        ("exact_match", {"deep": {"x": 1}}, False),
    ],
)
def test_arguments_are_compared_as_asked(
    how: Json, arguments: dict[str, Json], passes: bool
) -> None:
    scored = score_calls("exact", LOOK, made(call("look", **arguments)), arguments=how)
    assert scored.passed is passes, scored.explanation


@pytest.mark.parametrize("how", [{"similarity": 0.8}, "numeric", "contains", "one_of"])
def test_equal_arguments_are_equal_whatever_compares_them(how: Json) -> None:
    arguments = {
        "to": ["ann", "bob"],
        "n": 1.0,
        "cc": [],
        "deep": {"a": [1, {"b": None}]},
        "x": None,
    }
    expected = [{"name": "mail", "arguments": {**arguments, "n": 1}}]
    made_call = made(call("mail", **arguments))
    assert score_calls("exact", expected, made_call, arguments=how).passed
    other = made(call("mail", **{**arguments, "to": ["eve"]}))
    assert score_calls("exact", expected, other, arguments=how).passed is False


def test_arguments_that_nobody_reports_are_unknown_not_wrong() -> None:
    silent = made(ToolCall(name="look"), call("pay", None, id=1))
    scored = score_calls("exact", [*LOOK, "pay"], silent)
    assert (scored.state, scored.value) == ("skipped", None)
    assert "the arguments of look are unknown" in scored.explanation
    assert score_calls("exact", ["look", "pay"], silent).passed
    assert score_calls("exact", [*LOOK, "pay"], silent, arguments="ignore").passed
    # Whatever the arguments are, these calls are not the expected ones.
    for wrong in ([*LOOK, "mail"], LOOK, [*LOOK, {"name": "pay", "arguments": {"id": 2}}]):
        assert score_calls("exact", wrong, silent).passed is False
    nothing = {"name": "look", "arguments": {}}
    assert score_calls("exact", [nothing], made(ToolCall(name="look"))).passed


def test_what_differs_in_the_arguments_is_named() -> None:
    scored = score_calls("any_order", LOOK, made(call("look", id="A18", deep={"x": 1})))
    assert "call 1 of look differs: id: expected 'A17', got 'A18'" in scored.explanation


def test_arguments_as_the_text_of_json_are_what_they_hold() -> None:
    text = ToolCall(name="look", arguments='{"id": "A17", "deep": {"x": 1}}')
    assert score_calls("exact", LOOK, made(text)).passed
    assert not score_calls("exact", LOOK, made(ToolCall(name="look", arguments='{"id": '))).passed


def test_unordered_calls_are_paired_so_that_most_agree() -> None:
    wide, narrow = {"name": "look", "arguments": {}}, {"name": "look", "arguments": {"id": 1}}
    output = made(call("look", id=1), call("look"))
    for expected in itertools.permutations((wide, narrow)):
        assert score_calls("any_order", list(expected), output, arguments="subset").passed


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
@law
def test_modes_are_ordered_by_strictness(wanted: list[str], calls: list[str]) -> None:
    names = [ExpectedCall(name=name) for name in wanted]
    holds = {
        mode: align_calls(names, made(*calls).tool_calls, mode, PLAIN_COMPARERS["exact"]).satisfies(
            mode
        )
        for mode in ("exact", "in_order", "any_order", "subset", "superset")
    }
    assert holds["exact"] == (wanted == calls)
    assert holds["any_order"] == (sorted(wanted) == sorted(calls))
    assert holds["any_order"] == (holds["subset"] and holds["superset"])
    assert not holds["exact"] or all(holds.values())
    assert not holds["in_order"] or holds["superset"]


def test_thousands_of_calls_are_scored_without_holding_up_other_trials() -> None:
    [scorer] = open_all(metric_spec("tool_calls", {"mode": "in_order", "expected": ""}))
    output = made(*[call("look", id=number) for number in range(5_000)])
    case = labelled([{"name": "look", "arguments": {"id": number}} for number in range(100)])
    ticks = 0

    async def scoring() -> Score:
        nonlocal ticks
        task = asyncio.create_task(scorer.score(case, output))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return task.result()

    assert asyncio.run(scoring()).passed
    assert ticks > 1
    many = made(*["look"] * 5_001)
    assert "5,001 calls were made" in score_calls("superset", ["look"], many).explanation


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"mode": "exactly"}, "Did you mean 'exact'?"),
        ({"arguments": "exacty"}, "cannot be compared by 'exacty'. Did you mean 'exact'?"),
        ({"arguments": {"similarity": 2}}, "pass_at: 2.0 is not a share"),
        ({"arguments": {"similarity": 1, "numeric": 1}}, "name one metric"),
        ({"of": "text"}, "tool_calls looks at tool_calls"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(args: dict[str, Json], said: str) -> None:
    [problem] = problems_of(metric_spec("tool_calls", args))
    assert said in problem


@pytest.mark.parametrize(
    ("args", "label", "said"),
    [
        ({}, [5], "an expected call is the number 5"),
        ({}, [{"nam": "x"}], "an expected call is a mapping"),
        ({}, [{"name": "x", "args": {}}], "has the key 'args'"),
        ({"mode": "superset"}, [], "which every answer passes"),
        ({"mode": "in_order"}, [], "which every answer passes"),
    ],
)
def test_labels_of_which_nothing_follows_are_refused(
    args: dict[str, Json], label: Json, said: str
) -> None:
    [scorer] = open_all(metric_spec("tool_calls", {"expected": "", **args}))
    assert said in (scorer.problem_with(labelled(label)) or "")


# --- the other metrics of tool calls ------------------------------------------------------------


def test_forbidden_tools_are_named_and_silence_is_no_pass() -> None:
    args = {"": ["refund", "cancel"]}
    assert score_of("tools_not_called", args, made("look")).passed
    assert score_of("tools_not_called", args, made()).passed
    failed = score_of("tools_not_called", args, made("refund", "look", "refund"))
    assert (failed.passed, failed.explanation) == (False, "called 'refund'")
    assert score_of("tools_not_called", args, Output(text="x")).state == "skipped"
    label = {"tools_not_called": ["refund"]}
    assert score_of("tools_not_called", {}, made("cancel"), label).passed
    assert score_of("tools_not_called", {}, made("refund"), label).passed is False


FAILING = made(call("look", None, id=1), call("look", "Timeout", id=2), call("pay", None))


@pytest.mark.parametrize(
    ("ref", "args", "output", "value"),
    [
        ("tool_error_rate", {}, FAILING, 1 / 3),
        ("tool_error_rate", {"": "look"}, FAILING, 1 / 2),
        ("tool_error_rate", {"tool": "pay"}, FAILING, 0.0),
        ("tool_error_rate", {"tool": "mail"}, FAILING, None),
        ("tool_error_rate", {}, made(), None),
        ("tool_call_count", {}, FAILING, 3),
        ("tool_call_count", {"tool": "mail"}, FAILING, 0),
        ("tool_call_count", {}, made(), 0),
        ("tool_call_count", {}, Output(), None),
        ("loops", {}, FAILING, 0),
        ("loops", {}, made(call("a", None, x=1), call("a", None, x=2), call("a", None, x=1)), 1),
        ("loops", {}, made(*[call("a", "Timeout")] * 2, call("a")), 0),
        ("loops", {}, made(*[call("a", "Timeout")] * 5), 2),
        ("loops", {"retries": 0}, made(*[call("a", "Timeout")] * 5), 4),
        ("loops", {"tool": "b"}, made("a", "a", "b"), 0),
        ("loops", {}, Output(), None),
        ("model_calls", {}, made("a"), None),
        ("steps", {}, made("a"), None),
    ],
)
def test_calls_are_measured_and_what_is_not_told_is_skipped(
    ref: str, args: dict[str, Json], output: Output, value: float | None
) -> None:
    scored = score_of(ref, args, output)
    assert scored.value == (None if value is None else pytest.approx(value))
    assert scored.passed is None
    assert scored.state == ("skipped" if value is None else "scored")
    assert bool(scored.explanation) is (value is None)


@pytest.mark.parametrize(
    ("args", "output", "value"),
    [
        ({}, made(call("pay", "Timeout"), call("pay")), 1.0),
        ({}, made(call("pay", "Timeout"), call("look", "Broken"), call("look")), 0.5),
        ({}, made(call("pay"), call("pay", "Timeout")), 0.0),
        ({}, made(call("pay", "Timeout"), call("escalate")), 0.0),
        ({"": "escalate"}, made(call("pay", "Timeout"), call("escalate")), 1.0),
        ({"by": ["escalate"]}, made("escalate", call("pay", "Timeout")), 0.0),
        ({}, made("pay"), None),
        ({}, Output(), None),
    ],
)
def test_a_failed_tool_is_recovered_from_by_a_later_success(
    args: dict[str, Json], output: Output, value: float | None
) -> None:
    scored = score_of("recovered_from_error", args, output)
    assert scored.value == value
    assert scored.passed is (None if value is None else value == 1)


# --- spans --------------------------------------------------------------------------------------


IDS = itertools.count()


def span(kind: Any, seconds: float = 0.0, **more: Any) -> Span:
    return Span(
        id=str(next(IDS)), name=more.pop("name", kind), kind=kind, duration_s=seconds, **more
    )


TRACED = fill_from_spans(
    Output(
        spans=(
            span("agent", 9.0, input_tokens=30, output_tokens=3, cost_usd=3.0),
            span("model", 1.0, model="big", input_tokens=20, output_tokens=2, cost_usd=1.0),
            span("tool", 0.5, tool="look", arguments='{"id": 1}'),
            span("tool", 1.5, tool="pay", error_type="Timeout"),
            span("model", 3.0, model="small", input_tokens=10, output_tokens=1, cost_usd=2.0),
            span("step", 0.1, name="plan"),
        )
    )
)


@pytest.mark.parametrize(
    ("ref", "args", "value"),
    [
        ("steps", {}, 4),
        ("model_calls", {}, 2),
        ("model_calls", {"": "big"}, 1),
        ("tool_call_count", {}, 2),
        ("tool_error_rate", {}, 0.5),
        ("tool_error_rate", {"tool": "pay"}, 1.0),
        ("tokens", {}, 33),
        ("tokens", {"count": "output", "model": "big"}, 2),
        ("cost_usd", {}, 3.0),
        ("cost_usd", {"model": "small"}, 2.0),
        ("step_latency_s", {}, 3.0),
        ("step_latency_s", {"": "total"}, 6.1),
        ("step_latency_s", {"pick": "mean", "model": "big"}, 1.0),
        ("step_latency_s", {"tool": "pay"}, 1.5),
        ("step_latency_s", {"step": "plan"}, 0.1),
        ("step_latency_s", {"tool": "mail"}, None),
        ("cost_usd", {"model": "none"}, None),
    ],
)
def test_spans_tell_what_the_agent_does_not(
    ref: str, args: dict[str, Json], value: float | None
) -> None:
    scored = score_of(ref, args, TRACED)
    assert scored.value == (None if value is None else pytest.approx(value)), scored


def test_what_the_agent_says_goes_before_what_its_spans_say() -> None:
    both = Output(
        usage=Usage(input_tokens=1), cost_usd=0.5, tool_calls=(call("x"),), spans=TRACED.spans
    )
    assert score_of("tokens", {}, both).value == 1
    assert score_of("cost_usd", {}, both).value == 0.5
    assert score_of("tool_call_count", {}, both).value == 1


def test_calls_told_without_times_have_those_of_their_spans() -> None:
    spans = (span("tool", 0.5, tool="look"), span("tool", 1.5, tool="pay"))
    args = {"tool": "pay"}
    assert score_of("step_latency_s", args, replace(made("look", "pay"), spans=spans)).value == 1.5
    other = replace(made("pay", "look"), spans=spans)
    assert score_of("step_latency_s", args, other).state == "skipped"


def test_spans_are_scored_as_tool_calls_and_an_agents_span_alone_says_there_were_none() -> None:
    expected = [{"name": "look", "arguments": {"id": 1}}, "pay"]
    assert score_calls("exact", expected, TRACED).passed
    assert score_of("tools_not_called", {"": "pay"}, TRACED).passed is False
    assert score_of("tools_not_called", {"": "pay"}, Output(spans=(span("agent"),))).passed
    only_models = Output(spans=(span("model"), span("step")))
    assert score_of("tools_not_called", {"": "pay"}, only_models).state == "skipped"


def test_a_sum_of_which_a_part_is_unknown_is_not_given() -> None:
    told, untold = (
        span("model", model="big", cost_usd=1.0, input_tokens=1),
        span("model", model="big"),
    )
    output = Output(spans=(told, untold))
    assert score_of("cost_usd", {"model": "big"}, output).state == "skipped"
    assert score_of("tokens", {"": "input", "model": "big"}, output).state == "skipped"


# --- where a task ended -------------------------------------------------------------------------


def test_task_completion_is_the_share_of_paths_that_are_as_expected() -> None:
    label = {"state": {"orders.A17.status": "refunded", "orders.A17.total": 20, "refunds.0": None}}
    right = Output(data={"orders": {"A17": {"status": "refunded", "total": 20.0}}, "refunds": []})
    assert score_of("task_completion", {}, right, label).passed
    wrong = Output(data={"orders": {"A17": {"status": "open", "total": 20}}, "refunds": [5]})
    scored = score_of("task_completion", {}, wrong, label)
    assert scored.value == pytest.approx(1 / 3)
    assert scored.passed is False
    assert "orders.A17.status: expected 'refunded', got 'open'" in scored.explanation
    assert score_of("task_completion", {"": 0.3}, wrong, label).passed


@pytest.mark.parametrize("output", [Output(text="done"), Output(data="done"), Output(data=5)])
def test_without_a_state_no_task_is_complete_even_if_nothing_is_expected_there(
    output: Output,
) -> None:
    scored = score_of("task_completion", {}, output, {"state": {"refunds": None}})
    assert (scored.value, scored.passed) == (0, False)


ENDED = Output(
    data={"escalated": True, "resolved": False, "word": "yes"}, tool_calls=(call("hand_over"),)
)


@pytest.mark.parametrize(
    ("ref", "args", "output", "value", "passed"),
    [
        ("escalated", {}, ENDED, 1, None),
        ("resolved", {}, ENDED, 0, None),
        ("resolved", {}, Output(), None, None),
        ("escalated", {"tools": ["hand_over"]}, ENDED, 1, None),
        ("escalated", {"tools": ["call_boss"]}, ENDED, 0, None),
        ("escalated", {"tools": ["hand_over"]}, made(call("hand_over", "Timeout")), 0, None),
        ("escalated", {"tools": ["hand_over"]}, Output(), None, None),
        ("escalated", {"": "yes"}, ENDED, 1, True),
        ("escalated", {"expected": "no"}, ENDED, 0, False),
        ("resolved", {"expected": "yes"}, ENDED, 0, False),
        ("resolved", {"expected": "no"}, ENDED, 1, True),
        ("resolved", {"expected": "no"}, Output(), 0, False),
        ("resolved", {"expected": "no", "of": "data.word"}, ENDED, 0, False),
    ],
)
def test_how_a_task_ended_is_a_rate_or_held_against_the_label(
    ref: str, args: dict[str, Json], output: Output, value: float | None, passed: bool | None
) -> None:
    scored = score_of(ref, args, output, {"yes": True, "no": False})
    assert (scored.value, scored.passed) == (value, passed)


def test_a_word_is_no_yes_or_no() -> None:
    assert score_of("resolved", {"of": "data.word"}, ENDED).state == "metric_error"
    [scorer] = open_all(metric_spec("resolved", {"": "word"}))
    case = Case(id="a", input="?", expected={"word": "yes"})
    assert "true or false is needed" in (scorer.problem_with(case) or "")
    assert not scorer.applies_to(labelled({"other": 1}))


def test_scores_of_steps_are_the_same_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(scorers: Sequence[Scorer]) -> list[Score]:
        return [run_score(scorer, labelled(None), TRACED) for scorer in scorers]

    scorers = open_all(*map(metric_spec, ("steps", "tokens", "loops", "recovered_from_error")))
    inline = scores(scorers)
    monkeypatch.setattr("evalkit.metrics.builtin_scorer.MAX_INLINE_STEPS", 0)
    assert scores(scorers) == inline


# --- rules of one tool --------------------------------------------------------------------------

DESK_SET = """
    agent: {python: ./desk.py:answer}
    metrics: [exact_match, tool_error_rate, tool_call_count]
    gate:
      - {metric: tool_error_rate, tool: refund_order, max: 0.05, test: point}
      - {metric: tool_call_count, tool: look_up, stat: p95, max: 2, test: point}
    cases:
      - {id: a, input: a, expected: done}
      - {id: b, input: b, expected: done}
"""

DESK_AGENT = """
    def answer(text):
        failed = "Timeout" if text == BROKEN else None
        refund = {"name": "refund_order", "error": failed}
        return {"output": "done", "tool_calls": [{"name": "look_up"}, refund]}


    BROKEN = "b"
"""


def test_a_rule_may_be_about_one_tool(project: Project) -> None:
    project.write("desk.py", DESK_AGENT)
    project.write("desk.yaml", DESK_SET)
    done = project.evalkit("run", "desk.yaml", "--format", "json")
    assert done.code == 1, done
    refund, count = done.json["checks"]
    assert (refund["name"], refund["outcome"]) == ("tool_error_rate[refund_order]", "fail")
    assert (refund["candidate"], refund["rule"]["tool"]) == (0.5, "refund_order")
    assert (count["outcome"], count["candidate"]) == ("pass", 1)
    means = {m["metric"]: m["mean"] for m in done.json["metrics"] if m["tag"] is None}
    assert means["tool_error_rate"] == 0.25
    assert means["tool_error_rate[refund_order]"] == 0.5
    project.write("desk.py", DESK_AGENT.replace('BROKEN = "b"', 'BROKEN = "never"'))
    assert project.evalkit("run", "desk.yaml").code == 0


def test_a_rule_about_a_tool_nobody_called_is_not_green(project: Project) -> None:
    project.write("desk.py", DESK_AGENT)
    project.write("desk.yaml", DESK_SET.replace("tool: refund_order", "tool: refund_ordre"))
    done = project.evalkit("run", "desk.yaml")
    assert done.code == 3, done
    assert "tool_error_rate[refund_ordre]" in done.out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metric: tool_call_count, tool", "metric: exact_match, tool", "no argument 'tool'"),
        (
            "metric: tool_error_rate, tool",
            "metric: tool_eror_rate, tool",
            "'tool_eror_rate' is not",
        ),
        ("tool: look_up", "model: look_up", "no argument 'model'"),
    ],
)
def test_a_rule_that_cannot_be_narrowed_is_refused_at_its_line(
    project: Project, old: str, new: str, said: str
) -> None:
    project.write("desk.py", DESK_AGENT)
    project.write("desk.yaml", DESK_SET.replace(old, new))
    done = project.evalkit("validate", "desk.yaml")
    assert done.code == 2, done
    assert "desk.yaml:" in done.out + done.err
    assert said in done.out + done.err
