"""Scores which tools an agent called, against those it should or must not call: tool_calls, tools_not_called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Score
from evalkit.metrics.arguments import SHORTHAND, bind_arguments
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score, texts_of
from evalkit.metrics.coverage import Coverage
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.explanations import describe_kind, enumerate_values, quote_value
from evalkit.metrics.json import is_same_json
from evalkit.metrics.numeric import Numeric
from evalkit.metrics.paths import ABSENT
from evalkit.metrics.similarity import Similarity
from evalkit.metrics.text_match import Contains, ExactMatch, OneOf
from evalkit.metrics.tool_call_alignment import (
    CompareArguments,
    ExpectedCall,
    MatchMode,
    align_calls,
    first_difference,
)
from evalkit.trace.calls import NO_TOOL_CALL_DATA, get_tool_calls

MAX_CALLS = 5_000
"""Calls made that are compared; an agent that makes more is lost."""

MOST_EXPECTED = 200
"""Calls a label may expect."""

COMPARERS: Mapping[str, type[AnswerMetric]] = {
    "exact_match": ExactMatch,
    "one_of": OneOf,
    "contains": Contains,
    "numeric": Numeric,
    "similarity": Similarity,
    "coverage": Coverage,
}
"""The metrics that arguments may be compared by, value for value."""

_CALL_KEYS = {"name", "arguments"}


def read_expected_calls(label: Json) -> tuple[ExpectedCall, ...] | str:
    """The calls a label expects, or what is wrong with it."""
    calls = label if isinstance(label, list | tuple) else [label]
    if len(calls) > MOST_EXPECTED:
        return f"expected lists {len(calls)} calls; at most {MOST_EXPECTED} are compared."
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
    if isinstance(wanted, Mapping) and isinstance(made, Mapping):
        for key in (*wanted, *(key for key in made if key not in wanted)):
            if key not in wanted:
                return f"{key} was not expected"
            if not is_same_json(wanted[key], made.get(key, ABSENT)):
                return _describe_argument_mismatch(key, wanted[key], made.get(key, ABSENT))
        return ""
    return (
        ""
        if is_same_json(wanted, made)
        else _describe_argument_mismatch("the arguments", wanted, made)
    )


def _compare_subset(wanted: Json, made: Json, at: str = "the arguments") -> str:
    """What is expected must be there; beside it, and beside the keys of mappings in it, may be more."""
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return "" if is_same_json(wanted, made) else _describe_argument_mismatch(at, wanted, made)
    differences = (_compare_subset(wanted[key], made.get(key, ABSENT), str(key)) for key in wanted)
    return next(filter(None, differences), "")


def _compare_nothing(wanted: Json, made: Json) -> str:  # noqa: ARG001 - that is the point
    return ""


def _compare_by(metric: AnswerMetric, wanted: Json, made: Json) -> str:
    """Each expected argument by a metric; by equality where the metric cannot use its value."""
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return _compare_whole(wanted, made)
    for key, value in wanted.items():
        case, got = Case(id=str(key), input="", expected=value), made.get(key, ABSENT)
        if got is ABSENT or not metric.applies_to(case) or metric.problem_with(case):
            if not is_same_json(value, got):
                return _describe_argument_mismatch(str(key), value, got)
            continue
        score = metric.score(case, Output(data=got))
        if isinstance(score, Score) and score.passed is not True:
            return (
                f"{key}: {score.explanation or _describe_argument_mismatch(str(key), value, got)}"
            )
    return ""


def _describe_argument_mismatch(key: str, wanted: Json, made: Json) -> str:
    got = "nothing" if made is ABSENT else quote_value(made)
    return f"{key}: expected {quote_value(wanted)}, got {got}"


PLAIN_COMPARERS: Mapping[str, CompareArguments] = {
    "exact": _compare_whole,
    "subset": _compare_subset,
    "ignore": _compare_nothing,
}


@dataclass(frozen=True, kw_only=True)
class ToolCalls(AnswerMetric):
    """How well the tool calls that were made agree with those the case expects: their F1.

    An expected call is a tool's name, with which any arguments go, or a mapping of `name` and
    `arguments`.

    Args:
        mode: `exact` wants these calls in this order and no others, `any_order` these in whatever
            order, `in_order` these in this order among whatever others, `superset` these at least,
            `subset` none but these.
        arguments: `exact` wants equal arguments, `subset` the expected ones among others, `ignore`
            looks at none; a metric's name, or `{similarity: 0.9}`, compares each expected one by it.
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
        # Made now, so that a wrong metric is found before any call is made.
        _ = self.compare

    @cached_property
    def compare(self) -> CompareArguments:
        """How arguments are compared; ValueError says what is wrong with `arguments`."""
        if isinstance(self.arguments, str) and self.arguments in PLAIN_COMPARERS:
            return PLAIN_COMPARERS[self.arguments]
        chosen = {self.arguments: None} if isinstance(self.arguments, str) else self.arguments
        if len(chosen) != 1:
            raise ValueError(
                "arguments: name one metric to compare them by, as in {similarity: 0.9}."
            )
        [(name, given)] = chosen.items()
        if name not in COMPARERS:
            known = (*PLAIN_COMPARERS, *COMPARERS)
            raise ValueError(
                f"arguments cannot be compared by {name!r}. {suggest_name(name, known)}"
            )
        args = dict(given) if isinstance(given, Mapping) else {}
        if given is not None and not isinstance(given, Mapping):
            args = {SHORTHAND: given}
        problems: list[Problem] = []
        spec = MetricSpec(ref=name, name=name, args={**args, "of": "data"})
        nowhere = RunEnvironment(root=Path(), set_folder=Path(), environ={})
        metric = bind_arguments(COMPARERS[name], spec, nowhere, problems)
        if metric is None:
            raise ValueError(f"arguments: {problems[0].message}")
        return partial(_compare_by, metric)

    def problem_with_label(self, label: Json) -> str | None:
        """A list of calls, of which the mode can be broken."""
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
        """Pair the calls and say where they first part."""
        wanted = read_expected_calls(self.expected_value(case))
        assert not isinstance(wanted, str)  # noqa: S101 - problem_with_label told before
        made = get_tool_calls(output)
        if made is None:
            # With calls expected there should be something to see; without, nothing can be told.
            return (
                failed_score(NO_TOOL_CALL_DATA)
                if wanted
                else Score(state="skipped", explanation=NO_TOOL_CALL_DATA)
            )
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
        tools: the tools, the same for every case; those of the case's label when there are none.
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
        """Only without tools of its own."""
        return self.tools is None

    def problem_with_label(self, label: Json) -> str | None:
        """One name or a list of names."""
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
