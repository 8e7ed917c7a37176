"""Find the first step in which a trial differs from a baseline trial of the same case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.literals import Json
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output
from evalkit.core.values import is_same_json
from evalkit.trace.calls import UNNAMED, get_tool_calls

DifferenceKind: TypeAlias = Literal[
    "replaced", "extra", "missing", "argument", "error", "no_error", "model", "result", "answer"
]


class Difference(NamedTuple):
    """How a step differs from that of the baseline.

    `step` names the step now: the tool, or the step as the agent names it. `other` is the step of the
    baseline for `replaced`, the name of the argument for `argument`, and the model of the baseline for
    `model`, where `step` is the model now.
    """

    kind: DifferenceKind
    step: str = ""
    other: str = ""

    @property
    def sentence(self) -> str:
        """The difference in words."""
        step, other = self.step, self.other
        return {
            "replaced": f"{step} instead of {other}",
            "extra": f"extra step {step}",
            "missing": f"no {step} any more",
            "argument": f"other argument {other} of {step}" if other else f"other input of {step}",
            "error": f"{step} fails",
            "no_error": f"{step} fails no more",
            "model": f"model {step} instead of {other}",
            "result": f"other result of {step}",
            "answer": "other answer after the same steps",
        }[self.kind]


class Step(NamedTuple):
    """What is compared of a step; a model call has no name of its own."""

    kind: str
    name: str
    model: str = ""
    arguments: Json = None
    is_failed: bool = False
    result: Json = None

    @property
    def label(self) -> str:
        """The step in words."""
        return "model call" if self.kind == "model" else self.name


class TrialSteps(NamedTuple):
    """What is compared of a trial: its steps and its answer."""

    steps: Sequence[Step]
    answer: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """The first difference of a trial: the number of the step, from 1, and what differs in it.

    `values` are the new values of arguments by their difference, where they are short.
    `number` is 0 if only the answer differs; `differences` is empty if nothing does.
    """

    number: int = 0
    differences: tuple[Difference, ...] = ()
    values: tuple[tuple[Difference, str], ...] = ()

    @property
    def takes_other_steps(self) -> bool:
        """Whether a step differs, not only a result or the answer."""
        return any(each.kind not in ("result", "answer") for each in self.differences)


NO_DIVERGENCE = Divergence()

_MAX_VALUE_CHARS = 40


def read_steps(output: Output, *, use_spans: bool) -> TrialSteps | None:
    """Return the steps of a trial in order, None if unknown: its spans, or only its tool calls.

    Tool calls that no span shows come after the spans, because their place among them is unknown.
    """
    answer = [output.text, output.data]
    if not use_spans:
        calls = get_tool_calls(output)
        steps = None if calls is None else [_step_of_call(call) for call in calls]
        return None if steps is None else TrialSteps(steps, answer)
    if not output.spans:
        return None
    steps = [_step_of_span(span) for span in output.spans]
    if not any(step.kind == "tool" for step in steps):
        steps += [_step_of_call(call) for call in output.tool_calls]
    return TrialSteps(steps, answer)


def _step_of_call(call: ToolCall) -> Step:
    return Step("tool", call.name, "", call.arguments, call.error is not None, call.result)


def _step_of_span(span: Span) -> Step:
    is_failed = bool(span.error or span.error_type)
    if span.kind == "model":
        # The input of a model call repeats the conversation, which differs after any difference.
        return Step("model", "", span.model or UNNAMED, None, is_failed)
    if span.kind == "tool":
        name = span.tool or span.name
        return Step("tool", name, "", span.arguments, is_failed, span.result)
    return Step(span.kind, span.name, "", None, is_failed)


def find_divergence(
    base: Sequence[TrialSteps],
    trial: TrialSteps,
    ignored: Set[Difference] = frozenset(),
    *,
    ignores_models: bool = False,
) -> Divergence:
    """Return the first difference of a trial from the nearest of the baseline trials of its case.

    The nearest trial agrees for the most steps. Results of tools count only if all steps agree, because
    many contain times and ids; so does the answer.

    Args:
        base: the baseline trials, at least one.
        trial: the trial.
        ignored: differences that do not count.
        ignores_models: whether differences of models do not count.
    """
    steps = _without(trial.steps, "extra", ignored)

    def compare(before: Step, now: Step) -> list[Difference]:
        found = _compare_steps(before, now)
        return [
            each
            for each in found
            if each not in ignored and not (ignores_models and each.kind == "model")
        ]

    agreeing = []
    nearest: tuple[int, list[Step]] = (-1, [])
    for each in base:
        before = _without(each.steps, "missing", ignored)
        place = _first_difference(before, steps, compare)
        if place is None:
            agreeing.append(before)
        elif place > nearest[0]:
            nearest = (place, before)
    if agreeing:
        found = _find_new_result(agreeing, steps, ignored)
        is_known = any(is_same_json(trial.answer, each.answer) for each in base)
        answer = NO_DIVERGENCE if is_known else Divergence(differences=(Difference("answer"),))
        return found or answer
    place, before = nearest
    return _describe(place, before, steps, compare)


def _without(steps: Sequence[Step], kind: DifferenceKind, ignored: Set[Difference]) -> list[Step]:
    return [step for step in steps if Difference(kind, step.label) not in ignored]


def _first_difference(
    before: Sequence[Step], now: Sequence[Step], compare: Callable[[Step, Step], list[Difference]]
) -> int | None:
    for place, (one, other) in enumerate(zip(before, now, strict=False)):
        if compare(one, other):
            return place
    return None if len(before) == len(now) else min(len(before), len(now))


def _compare_steps(before: Step, now: Step) -> list[Difference]:
    if (before.kind, before.name) != (now.kind, now.name):
        return [Difference("replaced", now.label, before.label)]
    found = [
        Difference("argument", now.label, name)
        for name in _differing_arguments(before.arguments, now.arguments)
    ]
    if before.model != now.model:
        found.append(Difference("model", now.model, before.model))
    if before.is_failed != now.is_failed:
        found.append(Difference("error" if now.is_failed else "no_error", now.label))
    return found


def _differing_arguments(before: Json, now: Json) -> Iterator[str]:
    """Yield the names of the arguments that differ; an empty one if they have no names."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys((*before, *now)):
            is_same = name in before and name in now and is_same_json(before[name], now[name])
            if not is_same:
                yield str(name)
    elif not is_same_json(before, now):
        yield ""


def _describe(
    place: int,
    before: Sequence[Step],
    now: Sequence[Step],
    compare: Callable[[Step, Step], list[Difference]],
) -> Divergence:
    """Return the difference at a place where the steps begin to differ."""
    found: list[Difference] = []
    if place < min(len(before), len(now)):
        found = compare(before[place], now[place])
    if not found or found[0].kind == "replaced":
        found = [_align(before[place:], now[place:])]
    return Divergence(
        number=place + 1,
        differences=tuple(found),
        values=tuple(_new_values(found, now[place])) if place < len(now) else (),
    )


def _align(before: Sequence[Step], now: Sequence[Step]) -> Difference:
    """Return whether a step was added, left out, or replaced, by how the steps after it agree."""
    keys = [[(step.kind, step.name) for step in side] for side in (before, now)]
    operation = SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes()[0][0]
    if operation == "insert" or not before:
        return Difference("extra", now[0].label)
    if operation == "delete" or not now:
        return Difference("missing", before[0].label)
    return Difference("replaced", now[0].label, before[0].label)


def _new_values(found: Sequence[Difference], now: Step) -> Iterator[tuple[Difference, str]]:
    for each in found:
        if each.kind == "argument" and isinstance(now.arguments, Mapping):
            value = now.arguments.get(each.other)
            if isinstance(value, str | int | float) and len(str(value)) <= _MAX_VALUE_CHARS:
                yield each, str(value)


def _find_new_result(
    agreeing: Sequence[Sequence[Step]], steps: Sequence[Step], ignored: Set[Difference]
) -> Divergence | None:
    """Return the first result that none of the baseline trials with the same steps has."""
    for number, step in enumerate(steps, start=1):
        result = Difference("result", step.label)
        is_known = any(is_same_json(before[number - 1].result, step.result) for before in agreeing)
        if not is_known and result not in ignored:
            return Divergence(number=number, differences=(result,))
    return None
