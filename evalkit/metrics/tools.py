"""Scores which tools an agent called, against those it should or must not call: tool_calls, tools_not_called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from evalkit.metrics.alignment import Compare, Mode, Wanted, align, first_difference
from evalkit.metrics.arguments import SHORTHAND, bind_arguments
from evalkit.metrics.facts import Coverage
from evalkit.metrics.metric import PASSED, AnswerMetric, failed, texts_of
from evalkit.metrics.numeric import Numeric
from evalkit.metrics.paths import ABSENT
from evalkit.metrics.similarity import Similarity
from evalkit.metrics.structure import same_json
from evalkit.metrics.texts import Contains, ExactMatch, OneOf
from evalkit.metrics.words import enumerate_values, kind_of, quote
from evalkit.plugins import suggest
from evalkit.records import Case, Json, MetricSpec, Output, Problem, Score, Surroundings
from evalkit.seen import UNTOLD, calls_of

MOST_CALLS = 5_000
"""Calls made that are compared; an agent that makes more is lost."""

MOST_WANTED = 200
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


def read_wanted(label: Json) -> tuple[Wanted, ...] | str:
    """The calls a label expects, or what is wrong with it."""
    calls = label if isinstance(label, list | tuple) else [label]
    if len(calls) > MOST_WANTED:
        return f"expected lists {len(calls)} calls; at most {MOST_WANTED} are compared."
    wanted = []
    for call in calls:
        if isinstance(call, str):
            wanted.append(Wanted(name=call))
        elif isinstance(call, Mapping) and isinstance(call.get("name"), str):
            if unknown := sorted(map(str, call.keys() - _CALL_KEYS)):
                return f"an expected call has the key {unknown[0]!r}. It has name and arguments."
            wanted.append(Wanted(name=call["name"], arguments=call.get("arguments", ABSENT)))
        else:
            return (
                f"an expected call is {kind_of(call)}. Write a tool's name, or "
                "{name: lookup_order, arguments: {order: A17}}."
            )
    return tuple(wanted)


def _compare_whole(wanted: Json, made: Json) -> str:
    if isinstance(wanted, Mapping) and isinstance(made, Mapping):
        for key in (*wanted, *(key for key in made if key not in wanted)):
            if key not in wanted:
                return f"{key} was not expected"
            if not same_json(wanted[key], made.get(key, ABSENT)):
                return _contrast(key, wanted[key], made.get(key, ABSENT))
        return ""
    return "" if same_json(wanted, made) else _contrast("the arguments", wanted, made)


def _compare_part(wanted: Json, made: Json, at: str = "the arguments") -> str:
    """What is expected must be there; beside it, and beside the keys of mappings in it, may be more."""
    if not (isinstance(wanted, Mapping) and isinstance(made, Mapping)):
        return "" if same_json(wanted, made) else _contrast(at, wanted, made)
    differences = (_compare_part(wanted[key], made.get(key, ABSENT), str(key)) for key in wanted)
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
            if not same_json(value, got):
                return _contrast(str(key), value, got)
            continue
        score = metric.score(case, Output(data=got))
        if isinstance(score, Score) and score.passed is not True:
            return f"{key}: {score.explanation or _contrast(str(key), value, got)}"
    return ""


def _contrast(key: str, wanted: Json, made: Json) -> str:
    got = "nothing" if made is ABSENT else quote(made)
    return f"{key}: expected {quote(wanted)}, got {got}"


PLAIN_COMPARERS: Mapping[str, Compare] = {
    "exact": _compare_whole,
    "subset": _compare_part,
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

    mode: Mode = "exact"
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
    def compare(self) -> Compare:
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
            raise ValueError(f"arguments cannot be compared by {name!r}. {suggest(name, known)}")
        args = dict(given) if isinstance(given, Mapping) else {}
        if given is not None and not isinstance(given, Mapping):
            args = {SHORTHAND: given}
        problems: list[Problem] = []
        spec = MetricSpec(ref=name, name=name, args={**args, "of": "data"})
        nowhere = Surroundings(root=Path(), base=Path(), environ={})
        metric = bind_arguments(COMPARERS[name], spec, nowhere, problems)
        if metric is None:
            raise ValueError(f"arguments: {problems[0].message}")
        return partial(_compare_by, metric)

    def problem_with_label(self, label: Json) -> str | None:
        """A list of calls, of which the mode can be broken."""
        wanted = read_wanted(label)
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
        wanted = read_wanted(self.wanted(case))
        assert not isinstance(wanted, str)  # noqa: S101 - problem_with_label told before
        made = calls_of(output)
        if made is None:
            # With calls expected there should be something to see; without, nothing can be told.
            return failed(UNTOLD) if wanted else Score(state="skipped", explanation=UNTOLD)
        if len(made) > MOST_CALLS:
            return failed(f"{len(made):,} calls were made; at most {MOST_CALLS:,} are compared")
        found = align(wanted, made, self.mode, self.compare)
        difference = first_difference(found, self.mode, self.compare)
        parts = f"precision {found.precision:.2f}, recall {found.recall:.2f}"
        explanation = f"{difference} ({parts})" if difference else parts
        return Score(
            value=found.f1,
            passed=found.holds(self.mode),
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
        return f"expected is {kind_of(label)}, and the names of tools are needed."

    def score(self, case: Case, output: Output) -> Score:
        """Look for the tools among the calls."""
        forbidden = self.tools or texts_of(self.wanted(case)) or ()
        made = calls_of(output)
        if made is None:
            return Score(state="skipped", explanation=UNTOLD)
        called = [call.name for call in made if call.name in forbidden]
        if not called:
            return PASSED
        return failed(f"called {enumerate_values(tuple(dict.fromkeys(called)))}")
