"""Measures the steps that led to an answer: how many, how long, how often in vain, how often again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.spans import ToolCall
from evalkit.core.trial import Output
from evalkit.metrics.json import arguments_of
from evalkit.metrics.usage import Measurement
from evalkit.trace.calls import NO_TOOL_CALL_DATA, get_model_calls, get_tool_calls

NO_STEPS = "no step of the agent was seen. Have it send spans"


def _calls_named(calls: Sequence[ToolCall], tool: str) -> list[ToolCall]:
    return [call for call in calls if not tool or call.name == tool]


@dataclass(frozen=True, kw_only=True)
class ToolErrorRate(Measurement):
    """The share of a trial's tool calls that ended in an error; none without a call.

    Args:
        tool: look at the calls of this tool only.
    """

    shorthand: ClassVar[str] = "tool"

    tool: str = ""

    def read(self, output: Output) -> float | None:
        """Over the calls, by what they say of errors."""
        calls = _calls_named(get_tool_calls(output) or (), self.tool)
        if not calls:
            return None
        return sum(call.error is not None for call in calls) / len(calls)

    def explain_missing(self, output: Output) -> str:
        """No call, or none that is told of."""
        if get_tool_calls(output) is None:
            return NO_TOOL_CALL_DATA
        return "not called" if self.tool else "no tool was called"


@dataclass(frozen=True, kw_only=True)
class ToolCallCount(Measurement):
    """Tool calls made.

    Args:
        tool: count the calls of this tool only.
    """

    unit: ClassVar[str] = "calls"
    shorthand: ClassVar[str] = "tool"

    tool: str = ""

    def read(self, output: Output) -> float | None:
        """None when nothing tells whether there were any."""
        calls = get_tool_calls(output)
        return None if calls is None else len(_calls_named(calls, self.tool))

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing tells."""
        return NO_TOOL_CALL_DATA


@dataclass(frozen=True, kw_only=True)
class ModelCalls(Measurement):
    """Calls of models.

    Args:
        model: count the calls of this model only.
    """

    unit: ClassVar[str] = "calls"
    shorthand: ClassVar[str] = "model"

    model: str = ""

    def read(self, output: Output) -> float | None:
        """None when no model's call was seen, which does not mean that none was made."""
        calls = get_model_calls(output)
        return sum(not self.model or c.model == self.model for c in calls) if calls else None

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing seen."""
        return "no call of a model was seen. Have the agent send spans"


@dataclass(frozen=True, kw_only=True)
class Steps(Measurement):
    """Steps taken: every span below the agent's own."""

    unit: ClassVar[str] = "steps"

    def read(self, output: Output) -> float | None:
        """None without spans; tool calls alone are not all the steps."""
        return sum(span.kind != "agent" for span in output.spans) if output.spans else None

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing seen."""
        return NO_STEPS


@dataclass(frozen=True, kw_only=True)
class StepLatency(Measurement):
    """Seconds that the steps of one kind took.

    Args:
        pick: of several such steps in a trial the `longest`, their `mean`, or their `total`.
        tool: look at the calls of this tool only.
        model: look at the calls of this model only.
        step: look at the steps of this name only.
    """

    unit: ClassVar[str] = "s"
    shorthand: ClassVar[str] = "pick"

    pick: Literal["longest", "mean", "total"] = "longest"
    tool: str = ""
    model: str = ""
    step: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.tool, self.model, self.step))) > 1:
            raise ValueError("tool, model and step exclude each other. Keep one of them.")

    def read(self, output: Output) -> float | None:
        """None when no such step was timed."""
        seconds = self._durations_s(output)
        if not seconds:
            return None
        if self.pick == "longest":
            return max(seconds)
        return sum(seconds) / (len(seconds) if self.pick == "mean" else 1)

    def _durations_s(self, output: Output) -> list[float]:
        if self.model:
            return [s.duration_s for s in get_model_calls(output) if s.model == self.model]
        if self.step:
            return [s.duration_s for s in output.spans if s.name == self.step]
        calls = _calls_named(get_tool_calls(output) or (), self.tool)
        timed = [call.duration_s for call in calls if call.duration_s is not None]
        if self.tool:
            return timed
        return [s.duration_s for s in output.spans if s.kind != "agent"] or timed

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """No such step, or none that was timed."""
        which = self.tool or self.model or self.step
        return f"no step {which!r} was timed" if which else "no step was timed"


@dataclass(frozen=True, kw_only=True)
class Loops(Measurement):
    """Tool calls that repeat an earlier one of the trial with equal arguments.

    A call is no repeat when the equal call before it failed, up to `retries` times: to try again is
    what one should do.

    Args:
        retries: how often a failing call may be tried again.
        tool: look at the calls of this tool only.
    """

    unit: ClassVar[str] = "calls"
    shorthand: ClassVar[str] = "retries"

    retries: float = 2
    tool: str = ""

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries:g} is negative.")

    def read(self, output: Output) -> float | None:
        """None when nothing tells whether there were calls."""
        calls = get_tool_calls(output)
        if calls is None:
            return None
        failures: dict[str, int] = {}
        repeats = 0
        for call in _calls_named(calls, self.tool):
            key = json.dumps([call.name, arguments_of(call.arguments)], sort_keys=True)
            # Once it went well, or failed too often, any further one is a repeat.
            if key in failures and not 0 < failures[key] <= self.retries:
                repeats += 1
            went_well = call.error is None or failures.get(key) == 0
            failures[key] = 0 if went_well else failures.get(key, 0) + 1
        return repeats

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing tells."""
        return NO_TOOL_CALL_DATA
