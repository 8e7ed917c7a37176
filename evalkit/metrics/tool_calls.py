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
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score, texts_of
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.registry import load_metric
from evalkit.metrics.tool_call_alignment import (
    CompareArguments,
    ExpectedCall,
    MatchMode,
    align_calls,
    first_difference,
)
from evalkit.trace.calls import NO_TOOL_CALL_DATA, get_tool_calls

MAX_CALLS = 5_000
"""Calls made that are compared. An agent that makes more is lost anyway."""

MAX_EXPECTED_CALLS = 200
"""Calls that a label may expect."""

ARGUMENT_METRICS = ("exact_match", "one_of", "contains", "numeric", "similarity", "coverage")
"""The metrics that can compare arguments, each an AnswerMetric."""

_CALL_KEYS = {"name", "arguments"}


def read_expected_calls(label: Json) -> tuple[ExpectedCall, ...] | str:
    """Return the calls that a label expects, or as a text what is wrong with the label."""
    calls = label if isinstance(label, list | tuple) else [label]
    if len(calls) > MAX_EXPECTED_CALLS:
        return f"expected lists {len(calls)} calls; at most {MAX_EXPECTED_CALLS} are compared."
    wanted = []
    for call in calls:
        if isinstance(call, str):
            wanted.append(ExpectedCall(name=call))
        elif isinstance(call, Mapping) and isinstance(call.get("name"), str):
            if unknown := sorted(map(str, call.keys() - _CALL_KEYS)):
                return f"an expected call has the key {unknown[0]!r}. It has name and arguments."
            wanted.append(ExpectedCall(name=call["name"], arguments=call.get("arguments", ABSENT)))
        else:
            return (
                f"an expected call is {describe_kind(call)}. Write a tool's name, or "
                "{name: lookup_order, arguments: {order: A17}}."
            )
    return tuple(wanted)


def _compare_whole(wanted: Json, made: Json) -> str:
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return _compare_value("the arguments", wanted, made)
    for key in (*wanted, *(key for key in made if key not in wanted)):
        if key not in wanted:
            return f"{key} was not expected"
        if difference := _compare_value(key, wanted[key], made.get(key, ABSENT)):
            return difference
    return ""


def _compare_subset(wanted: Json, made: Json, at: str = "the arguments") -> str:
    """Compare what is expected; the call, and every mapping in it, may have more."""
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return _compare_value(at, wanted, made)
    differences = (_compare_subset(wanted[key], made.get(key, ABSENT), str(key)) for key in wanted)
    return next(filter(None, differences), "")


def _compare_nothing(wanted: Json, made: Json) -> str:  # noqa: ARG001 - it ignores both
    return ""


def _compare_by(metric: AnswerMetric, wanted: Json, made: Json) -> str:
    """Compare each expected argument by a metric; by equality if the metric cannot use its value."""
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return _compare_whole(wanted, made)
    for key, value in wanted.items():
        case, got = Case(id=str(key), input="", expected=value), made.get(key, ABSENT)
        if got is ABSENT or not metric.applies_to(case) or metric.problem_with(case):
            if difference := _compare_value(str(key), value, got):
                return difference
            continue
        score = metric.score(case, Output(data=got))
        if isinstance(score, Score) and score.passed is not True:
            return f"{key}: {score.explanation or describe_mismatch(value, got)}"
    return ""


def _compare_value(key: str, wanted: Json, made: Json) -> str:
    return "" if is_same_json(wanted, made) else f"{key}: {describe_mismatch(wanted, made)}"


PLAIN_COMPARERS: Mapping[str, CompareArguments] = {
    "exact": _compare_whole,
    "subset": _compare_subset,
    "ignore": _compare_nothing,
}


@dataclass(frozen=True, kw_only=True)
class ToolCalls(AnswerMetric):
    """The F1 of the tool calls that were made against those the case expects.

    An expected call is a tool's name, which matches any arguments, or a mapping of `name` and
    `arguments`.

    Args:
        mode: `exact` wants these calls in this order and no others, `any_order` these in any order
            and no others, `in_order` these in this order among others, `superset` at least these,
            `subset` no others than these.
        arguments: `exact` wants equal arguments, `subset` the expected ones among others, `ignore`
            compares none; a metric's name, or `{similarity: 0.9}`, compares each expected one by it.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "mode"

    mode: MatchMode = "exact"
    arguments: str | Mapping[str, Json] = "exact"
    of: str = "tool_calls"
    expected: str = "tool_calls"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of != "tool_calls":
            raise ValueError("of: tool_calls looks at tool_calls and nothing else. Leave it out.")
        # Made now, so that a wrong metric is reported before the first call.
        _ = self.compare

    @cached_property
    def compare(self) -> CompareArguments:
        """Make the function that compares arguments.

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
        nowhere = RunEnvironment(root=Path(), set_folder=Path(), environ={})
        metric = bind_arguments(load_metric(name), spec, nowhere, problems)
        if metric is None:
            raise ValueError(f"arguments: {problems[0].message}")
        return partial(_compare_by, cast("AnswerMetric", metric))

    def problem_with_label(self, label: Json) -> str | None:
        """Accept a list of calls that some answer can fail."""
        wanted = read_expected_calls(label)
        if isinstance(wanted, str):
            return wanted
        if not wanted and self.mode in ("in_order", "superset"):
            return (
                f"expected lists no call, which every answer passes under mode {self.mode}. "
                "Use mode exact for cases in which no tool may be called."
            )
        return None

    def score(self, case: Case, output: Output) -> Score:
        """Align the calls and explain the first difference."""
        wanted = read_expected_calls(self.expected_value(case))
        assert not isinstance(wanted, str)  # noqa: S101 - problem_with_label has checked it
        made = get_tool_calls(output)
        if made is None:
            # An agent that calls the expected tools has calls to report; without any expected,
            # nothing is known.
            skipped = Score(state="skipped", explanation=NO_TOOL_CALL_DATA)
            return failed_score(NO_TOOL_CALL_DATA) if wanted else skipped
        if len(made) > MAX_CALLS:
            return failed_score(
                f"{len(made):,} calls were made; at most {MAX_CALLS:,} are compared"
            )
        found = align_calls(wanted, made, self.mode, self.compare)
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
        """Accept one name or a list of names."""
        if texts_of(label):
            return None
        return f"expected is {describe_kind(label)}, and the names of tools are needed."

    def score(self, case: Case, output: Output) -> Score:
        """Look for the tools among the calls."""
        forbidden = self.tools or texts_of(self.expected_value(case)) or ()
        made = get_tool_calls(output)
        if made is None:
            return Score(state="skipped", explanation=NO_TOOL_CALL_DATA)
        called = [call.name for call in made if call.name in forbidden]
        if not called:
            return PASSED
        return failed_score(f"called {enumerate_values(tuple(dict.fromkeys(called)))}")
