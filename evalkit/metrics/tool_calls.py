"""Score which tools an agent called: tool_calls, tools_not_called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, cast

from evalkit.core.eval_set import SHORTHAND, Case, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Score
from evalkit.core.values import (
    ABSENT,
    describe_kind,
    describe_mismatch,
    enumerate_values,
    is_same_json,
)
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.builtin import (
    PASSED,
    TOOL_CALLS_UNREPORTED,
    AnswerMetric,
    failed_score,
    texts_of,
    unreported_score,
)
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.registry import load_metric
from evalkit.metrics.tool_call_alignment import (
    CompareArguments,
    ExpectedCall,
    MatchMode,
    align_calls,
    find_unknown_arguments,
    first_difference,
)
from evalkit.trace.calls import NO_TOOL_CALL_DATA, get_tool_calls

MAX_CALLS = 5_000
"""Calls of one trial that are compared. An agent that makes more fails."""

MAX_EXPECTED_CALLS = 200
"""Calls that a label may expect."""

UNKNOWN_ARGUMENTS = (
    "the arguments of {tool} are unknown: neither the agent nor its spans report them. Have the "
    "instrumentation record the content of calls, or compare none with `arguments: ignore`"
)
"""The reason why calls cannot be compared with expected ones that name arguments."""

ARGUMENT_METRICS = ("exact_match", "one_of", "contains", "numeric", "similarity", "coverage")
"""The metrics that can compare arguments, each an AnswerMetric."""

_CALL_KEYS = {"name", "arguments"}


def read_expected_calls(label: Json) -> tuple[ExpectedCall, ...] | str:
    """Return the calls that a label expects, or a text that says what is wrong with the label."""
    calls = label if isinstance(label, list | tuple) else [label]
    if len(calls) > MAX_EXPECTED_CALLS:
        return f"expected lists {len(calls)} calls; at most {MAX_EXPECTED_CALLS} are compared."
    expected = []
    for call in calls:
        if isinstance(call, str):
            expected.append(ExpectedCall(name=call))
        elif isinstance(call, Mapping) and isinstance(call.get("name"), str):
            if unknown := sorted(map(str, call.keys() - _CALL_KEYS)):
                return f"an expected call has the key {unknown[0]!r}. It has name and arguments."
            expected.append(
                ExpectedCall(name=call["name"], arguments=call.get("arguments", ABSENT))
            )
        else:
            return (
                f"an expected call is {describe_kind(call)}. Write a tool's name, or "
                "{name: lookup_order, arguments: {order: A17}}."
            )
    return tuple(expected)


def _compare_whole(expected: Json, actual: Json) -> str:
    if not (isinstance(expected, Mapping) and isinstance(actual, Mapping)):
        return _compare_value("the arguments", expected, actual)
    for key in (*expected, *(key for key in actual if key not in expected)):
        if key not in expected:
            return f"{key} was not expected"
        if difference := _compare_value(key, expected[key], actual.get(key, ABSENT)):
            return difference
    return ""


def _compare_subset(expected: Json, actual: Json, at: str = "the arguments") -> str:
    """Compare what is expected; the call, and every mapping in it, may have more."""
    if not (isinstance(expected, Mapping) and isinstance(actual, Mapping)):
        return _compare_value(at, expected, actual)
    differences = (
        _compare_subset(expected[key], actual.get(key, ABSENT), str(key)) for key in expected
    )
    return next(filter(None, differences), "")


def _compare_nothing(expected: Json, actual: Json) -> str:  # noqa: ARG001 - all arguments match
    return ""


def _compare_by(metric: AnswerMetric, expected: Json, actual: Json) -> str:
    """Compare each expected argument by a metric; by equality if the metric cannot use its value."""
    if not (isinstance(expected, Mapping) and isinstance(actual, Mapping)):
        return _compare_whole(expected, actual)
    for key, value in expected.items():
        case, argument = Case(id=str(key), input="", expected=value), actual.get(key, ABSENT)
        if is_same_json(value, argument):  # whatever the metric says of them
            continue
        if argument is ABSENT or not metric.applies_to(case) or metric.problem_with(case):
            if difference := _compare_value(str(key), value, argument):
                return difference
            continue
        score = metric.score(case, Output(data=argument))
        if isinstance(score, Score) and score.passed is not True:
            return f"{key}: {score.explanation or describe_mismatch(value, argument)}"
    return ""


def _compare_value(key: str, expected: Json, actual: Json) -> str:
    return "" if is_same_json(expected, actual) else f"{key}: {describe_mismatch(expected, actual)}"


PLAIN_COMPARERS: Mapping[str, CompareArguments] = {
    "exact": _compare_whole,
    "subset": _compare_subset,
    "ignore": _compare_nothing,
}


@dataclass(frozen=True, kw_only=True)
class ToolCalls(AnswerMetric):
    """The F1 score of the actual tool calls, compared with those that the case expects.

    An expected call is a tool's name, which matches any arguments, or a mapping of `name` and
    `arguments`.

    Args:
        mode: `exact` requires these calls in this order and no others; `any_order`, these in any order
            and no others; `in_order`, these in this order, possibly among others; `superset`, at
            least these; `subset`, none but these.
        arguments: `exact` requires equal arguments; `subset`, at least the expected ones; `ignore`
            compares none. A metric, as in `{similarity: 0.9}`, compares each expected argument.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "mode"
    version: ClassVar[int] = 2

    mode: MatchMode = "exact"
    arguments: str | Mapping[str, Json] = "exact"
    of: str = "tool_calls"
    expected: str = "tool_calls"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of != "tool_calls":
            raise ValueError("of: tool_calls looks at tool_calls and nothing else. Leave it out.")
        # Build it now, so that a wrong metric is reported before the first call.
        _ = self.compare

    @cached_property
    def compare(self) -> CompareArguments:
        """Build the function that compares arguments.

        Raises:
            ValueError: what is wrong with `arguments`.
        """
        if isinstance(self.arguments, str) and self.arguments in PLAIN_COMPARERS:
            return PLAIN_COMPARERS[self.arguments]
        chosen = {self.arguments: None} if isinstance(self.arguments, str) else self.arguments
        if len(chosen) != 1:
            raise ValueError(
                "arguments: name one metric to compare them by, as in {similarity: 0.9}."
            )
        [(name, given)] = chosen.items()
        if name not in ARGUMENT_METRICS:
            known = (*PLAIN_COMPARERS, *ARGUMENT_METRICS)
            raise ValueError(
                f"arguments cannot be compared by {name!r}. {suggest_name(name, known)}"
            )
        args = given if isinstance(given, Mapping) else {SHORTHAND: given}
        if given is None:
            args = {}
        problems: list[Problem] = []
        spec = MetricSpec(ref=name, name=name, args={**args, "of": "data"})
        environment = RunEnvironment(root=Path(), set_folder=Path(), environ={})
        metric = bind_arguments(load_metric(name), spec, environment, problems)
        if metric is None:
            raise ValueError(f"arguments: {problems[0].message}")
        return partial(_compare_by, cast("AnswerMetric", metric))

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a list of calls that an answer can fail, or None."""
        expected = read_expected_calls(label)
        if isinstance(expected, str):
            return expected
        if not expected and self.mode in ("in_order", "superset"):
            return (
                f"expected lists no call, which every answer passes under mode {self.mode}. "
                "Use mode exact for cases in which no tool may be called."
            )
        return None

    def score(self, case: Case, output: Output) -> Score:
        """Align the calls and explain the first difference."""
        expected = read_expected_calls(self.expected_value(case))
        assert not isinstance(expected, str)  # noqa: S101 - problem_with_label has checked it
        actual = get_tool_calls(output)
        if actual is None:
            # An agent that reports no calls has not made the expected ones. If none are expected,
            # the result is unknown.
            return failed_score(NO_TOOL_CALL_DATA) if expected else TOOL_CALLS_UNREPORTED
        if len(actual) > MAX_CALLS:
            return failed_score(
                f"{len(actual):,} calls were made; at most {MAX_CALLS:,} are compared"
            )
        found = align_calls(expected, actual, self.mode, self.compare)
        if not found.satisfies(self.mode) and (
            tool := find_unknown_arguments(expected, actual, self.mode, self.compare)
        ):
            return unreported_score("call arguments", UNKNOWN_ARGUMENTS.format(tool=tool))
        difference = first_difference(found, self.mode, self.compare)
        parts = f"precision {found.precision:.2f}, recall {found.recall:.2f}"
        explanation = f"{difference} ({parts})" if difference else parts
        return Score(
            value=found.f1,
            passed=found.satisfies(self.mode),
            explanation=explanation if found.f1 < 1 or difference else "",
        )


@dataclass(frozen=True, kw_only=True)
class ToolsNotCalled(AnswerMetric):
    """Passes a trial in which none of some tools was called.

    Args:
        tools: the tools, the same for every case; by default those of the case's label.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "tools"

    tools: tuple[str, ...] | None = None
    of: str = "tool_calls"
    expected: str = "tools_not_called"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of != "tool_calls":
            raise ValueError("of: tools_not_called looks at tool_calls. Leave it out.")
        if self.tools == ():
            raise ValueError("tools is an empty list, which forbids nothing. Fill it.")

    @property
    def needs_expected(self) -> bool:
        """Whether there are no `tools`."""
        return self.tools is None

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not the names of tools, or None."""
        if texts_of(label):
            return None
        return f"expected is {describe_kind(label)}, but the names of tools are needed."

    def score(self, case: Case, output: Output) -> Score:
        """Look for the tools among the calls."""
        forbidden = self.tools or texts_of(self.expected_value(case)) or ()
        actual = get_tool_calls(output)
        if actual is None:
            return TOOL_CALLS_UNREPORTED
        called = [call.name for call in actual if call.name in forbidden]
        if not called:
            return PASSED
        return failed_score(f"called {enumerate_values(tuple(dict.fromkeys(called)))}")
