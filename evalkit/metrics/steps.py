"""Measure the steps that led to an answer: how many, how long, how many failed or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.json_text import parse_call_arguments
from evalkit.core.spans import ToolCall
from evalkit.core.trial import Output, Score
from evalkit.core.values import canonical_json
from evalkit.metrics.builtin import TOOL_CALLS_UNREPORTED, unreported_score
from evalkit.metrics.usage import Measurement
from evalkit.trace.calls import get_model_calls, get_tool_calls

MODEL_CALLS_UNREPORTED = unreported_score(
    "model calls", "the spans have no model call. Have the agent send spans"
)


@dataclass(frozen=True, kw_only=True)
class ToolCallMeasurement(Measurement):
    """A quantity of a trial's tool calls.

    Args:
        tool: only the calls of this tool.
    """

    shorthand: ClassVar[str] = "tool"

    tool: str = ""

    def measure(self, output: Output) -> float | Score:
        """Measure the calls, if the output says which tools were called."""
        calls = get_tool_calls(output)
        if calls is None:
            return TOOL_CALLS_UNREPORTED
        return self.measure_calls(_calls_named(calls, self.tool))

    def measure_calls(self, calls: Sequence[ToolCall]) -> float | Score:
        """Return the quantity, or a skipped score that says why there is none."""
        raise NotImplementedError


def _calls_named(calls: Sequence[ToolCall], tool: str) -> list[ToolCall]:
    return [call for call in calls if not tool or call.name == tool]


@dataclass(frozen=True, kw_only=True)
class ToolErrorRate(ToolCallMeasurement):
    """The share of a trial's tool calls that ended in an error; skipped without a call.

    Args:
        tool: only the calls of this tool.
    """

    def measure_calls(self, calls: Sequence[ToolCall]) -> float | Score:
        """Divide the failed calls by all calls."""
        if not calls:
            why = "not called" if self.tool else "no tool was called"
            return Score(state="skipped", explanation=why)
        return sum(call.error is not None for call in calls) / len(calls)


@dataclass(frozen=True, kw_only=True)
class ToolCallCount(ToolCallMeasurement):
    """The number of tool calls.

    Args:
        tool: only the calls of this tool.
    """

    unit: ClassVar[str] = "calls"

    def measure_calls(self, calls: Sequence[ToolCall]) -> float:
        """Count the calls."""
        return len(calls)


@dataclass(frozen=True, kw_only=True)
class ModelCalls(Measurement):
    """The number of model calls.

    Args:
        model: only the calls of this model.
    """

    unit: ClassVar[str] = "calls"
    shorthand: ClassVar[str] = "model"

    model: str = ""

    def measure(self, output: Output) -> float | Score:
        """Count the calls. Without any in the spans, their number is unknown, not 0."""
        calls = get_model_calls(output)
        if not calls:
            return MODEL_CALLS_UNREPORTED
        return sum(not self.model or call.model == self.model for call in calls)


@dataclass(frozen=True, kw_only=True)
class Steps(Measurement):
    """The number of steps: model calls and tool calls, each counted once.

    Spans of a framework around or between the calls do not count, so that the same agent has as many
    steps in every framework.
    """

    unit: ClassVar[str] = "steps"
    version: ClassVar[int] = 2

    def measure(self, output: Output) -> float | Score:
        """Add the calls. Without spans of the model the number is unknown: tools are only some steps."""
        models, tools = get_model_calls(output), get_tool_calls(output)
        if not models:
            return MODEL_CALLS_UNREPORTED
        return TOOL_CALLS_UNREPORTED if tools is None else len(models) + len(tools)


@dataclass(frozen=True, kw_only=True)
class StepLatency(Measurement):
    """Seconds that the steps of one kind took.

    Args:
        pick: the `longest` of several such steps in a trial, their `mean`, or their `total`.
        tool: only the calls of this tool.
        model: only the calls of this model.
        step: only the steps of this name.
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

    def measure(self, output: Output) -> float | Score:
        """Combine the seconds of the steps that have times."""
        seconds = self._durations_s(output)
        if not seconds:
            return self._score_untimed(output)
        if self.pick == "longest":
            return max(seconds)
        return sum(seconds) / (len(seconds) if self.pick == "mean" else 1)

    def _score_untimed(self, output: Output) -> Score:
        """Return the score of an output without a timed step; a tool that was not called has none."""
        name = self.tool or self.model or self.step
        why = f"no step {name!r} was timed" if name else "no step was timed"
        calls = get_tool_calls(output)
        if self.tool and calls is not None and not _calls_named(calls, self.tool):
            return Score(state="skipped", explanation=why)
        return unreported_score("step times", why)

    def _durations_s(self, output: Output) -> list[float]:
        if self.model:
            return [s.duration_s for s in get_model_calls(output) if s.model == self.model]
        if self.step:
            return [s.duration_s for s in output.spans if s.name == self.step]
        calls = _calls_named(get_tool_calls(output) or (), self.tool)
        timed = [call.duration_s for call in calls if call.duration_s is not None]
        if self.tool:
            return timed
        # Without spans, tool calls are the only steps with times.
        return [s.duration_s for s in output.spans if s.kind != "agent"] or timed


@dataclass(frozen=True, kw_only=True)
class Loops(ToolCallMeasurement):
    """The number of tool calls that repeat an earlier one of the trial with equal arguments.

    Up to `retries` times, a call is not a repeat when the equal call before it failed: retrying a
    failed call is reasonable.

    Args:
        retries: how often a failing call may be retried.
        tool: only the calls of this tool.
    """

    unit: ClassVar[str] = "calls"
    version: ClassVar[int] = 2
    shorthand: ClassVar[str] = "retries"

    retries: float = 2

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries:g} is negative.")

    def measure_calls(self, calls: Sequence[ToolCall]) -> float:
        """Count the repeats."""
        failures: dict[str, int] = {}
        repeats = 0
        for call in calls:
            key = canonical_json([call.name, parse_call_arguments(call.arguments)])
            # After a success, or too many failures, every further equal call is a repeat.
            if key in failures and not 0 < failures[key] <= self.retries:
                repeats += 1
            has_succeeded = call.error is None or failures.get(key) == 0
            failures[key] = 0 if has_succeeded else failures.get(key, 0) + 1
        return repeats
