"""Score how a task ended: task_completion, recovered_from_error, escalated, resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.core.values import (
    ABSENT,
    describe_kind,
    describe_mismatch,
    enumerate_values,
    find_value,
    is_same_json,
)
from evalkit.metrics.builtin import (
    PASSED,
    TOOL_CALLS_UNREPORTED,
    AnswerMetric,
    BuiltIn,
    check_pass_mark,
    failed_score,
    unreported_score,
)
from evalkit.trace.calls import get_tool_calls


@dataclass(frozen=True, kw_only=True)
class TaskCompletion(AnswerMetric):
    """The share of paths at which the final state is as the case expects.

    The label is a mapping of dotted paths to values, such as `orders.A17.status: refunded`; null
    means that nothing must be there.

    Args:
        pass_at: the share at which a trial passes.
        of: the part of the output that holds the final state.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"

    pass_at: float = 1.0
    of: str = "data"
    expected: str = "state"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a mapping of paths to values, or None."""
        if isinstance(label, Mapping) and label:
            return None
        return f"expected is {describe_kind(label)}. Write a mapping of paths to values."

    def score(self, case: Case, output: Output) -> Score:
        """Compare the state at every path."""
        state = self.answer(output)
        if state in (ABSENT, None):
            return failed_score(f"the output has no {self.of}, where the final state should be")
        if not isinstance(state, Mapping | list | tuple):
            return failed_score(f"the output's {self.of} is {describe_kind(state)}, not a state")
        expected = self.expected_value(case)
        wrong = [path for path, value in expected.items() if not _is_at(state, path, value)]
        if not wrong:
            return PASSED
        share = 1 - len(wrong) / len(expected)
        explanation = (
            f"{len(expected) - len(wrong)} of {len(expected)} paths are as expected; "
            f"{wrong[0]}: {describe_mismatch(expected[wrong[0]], find_value(state, wrong[0]))}"
        )
        return Score(value=share, passed=share >= self.pass_at, explanation=explanation)


def _is_at(state: Json, path: str, value: Json) -> bool:
    found = find_value(state, path)
    return found in (ABSENT, None) if value is None else is_same_json(value, found)


@dataclass(frozen=True, kw_only=True)
class RecoveredFromError(BuiltIn):
    """Of the tools that failed in a trial, the share that succeeded in a later call.

    Skipped if no tool failed, because there was nothing to recover from.

    Args:
        by: tools whose success makes up for any failure before it, such as escalating to a human.
    """

    shorthand: ClassVar[str] = "by"

    by: tuple[str, ...] = ()

    def score(self, case: Case, output: Output) -> Score:  # noqa: ARG002 - the case is not used
        """Follow every failing tool to its last call."""
        calls = get_tool_calls(output)
        if calls is None:
            return TOOL_CALLS_UNREPORTED
        open_failures: dict[str, bool] = {}
        for call in calls:
            if call.error is not None:
                open_failures[call.name] = True
            elif call.name in self.by:
                open_failures = dict.fromkeys(open_failures, False)
            elif call.name in open_failures:
                open_failures[call.name] = False
        if not open_failures:
            return Score(state="skipped", explanation="no tool failed")
        lost = [name for name, is_open in open_failures.items() if is_open]
        return Score(
            value=1 - len(lost) / len(open_failures),
            passed=not lost,
            explanation=f"no success after an error: {enumerate_values(lost)}" if lost else "",
        )


@dataclass(frozen=True, kw_only=True)
class TaskOutcome(BuiltIn):
    """Whether a task ended in a certain way.

    Without `expected` it is a measurement: the share of trials that ended this way. With `expected`, a
    trial passes if the outcome equals the case's label, true or false.

    Args:
        of: the part of the output with the outcome, true or false.
        expected: the part of the label to compare with.
    """

    shorthand: ClassVar[str] = "expected"

    of: str = ""
    expected: str = ""

    @property
    def is_measurement(self) -> bool:
        """Whether there is no label to compare with."""
        return not self.expected

    def read_outcome(self, output: Output) -> bool | None:
        """Return whether the task ended this way, or None if that is unknown.

        Raises:
            ValueError: the output has something else than true or false there.
        """
        found = find_value(output, self.of)
        if found in (ABSENT, None):
            return None
        if not isinstance(found, bool):
            raise ValueError(f"the output's {self.of} is {describe_kind(found)}, not true or false")
        return found

    def score_unreported(self) -> Score:
        """Return the score of an output that does not say how the task ended."""
        return unreported_score(self.of, f"the output has no {self.of}")

    def _label_of(self, case: Case) -> Json:
        label = find_value(case.expected, self.expected) if self.expected else None
        return None if label is ABSENT else label

    def applies_to(self, case: Case) -> bool:
        """Return whether the case has the label, where one is needed."""
        return not self.expected or self._label_of(case) is not None

    def problem_with(self, case: Case) -> str | None:
        """Return why the case's label is not true or false, or None."""
        label = self._label_of(case)
        if label is None or isinstance(label, bool):
            return None
        return f"expected.{self.expected} is {describe_kind(label)}, but true or false is needed."

    def score(self, case: Case, output: Output) -> Score:
        """Score the outcome, or compare it with the label if there is one."""
        expected = self._label_of(case)
        try:
            outcome = self.read_outcome(output)
        except ValueError as wrong:
            if expected is None:
                raise
            return failed_score(str(wrong))
        if outcome is None:
            missing = self.score_unreported()
            return missing if expected is None else failed_score(missing.explanation)
        if expected is None:
            return Score(value=float(outcome))
        if outcome is expected:
            return PASSED
        return failed_score(f"expected {str(expected).lower()}, got {str(outcome).lower()}")


@dataclass(frozen=True, kw_only=True)
class Resolved(TaskOutcome):
    """Whether the request was resolved, as the agent says in its output.

    Args:
        of: the part of the output with the outcome, true or false.
        expected: the part of the label to compare with.
    """

    of: str = "data.resolved"


@dataclass(frozen=True, kw_only=True)
class Escalated(TaskOutcome):
    """Whether the task was escalated to a human.

    Args:
        tools: tools whose success escalates the task; with them, `of` is not used.
        of: the part of the output with the outcome, true or false.
        expected: the part of the label to compare with.
    """

    of: str = "data.escalated"
    tools: tuple[str, ...] = ()

    @property
    def higher_is_better(self) -> bool:
        """Whether it is compared with a label; without one, fewer escalations are better."""
        return bool(self.expected)

    def score_unreported(self) -> Score:
        """Return the score of an output that does not say which tools were called, or how it ended."""
        return TOOL_CALLS_UNREPORTED if self.tools else super().score_unreported()

    def read_outcome(self, output: Output) -> bool | None:
        """Return whether a tool escalated the task, or without `tools` what the output says."""
        if not self.tools:
            return super().read_outcome(output)
        calls = get_tool_calls(output)
        if calls is None:
            return None
        return any(call.name in self.tools and call.error is None for call in calls)
