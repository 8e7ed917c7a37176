"""The base classes of built-in metrics: dataclasses of YAML arguments that score one output."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.think_tags import drop_reasoning
from evalkit.core.trial import Output, Score
from evalkit.core.values import ABSENT, describe_kind, find_value, is_same_json
from evalkit.trace.calls import NO_TOOL_CALL_DATA


class UnscorableAnswer(Exception):
    """A metric cannot score an answer, which is a metric error; the text says why."""


PASSED = Score(value=1.0, passed=True)


NEEDS_LABEL = "the label it compares with. Look at its `expected:` and `tags:`."
"""What a case lacks to which a metric that compares does not apply."""


def failed_score(explanation: str) -> Score:
    """Return the score of a wrong answer, with the reason."""
    return Score(value=0.0, passed=False, explanation=explanation)


def unreported_score(what: str, explanation: str) -> Score:
    """Return the score of an output that lacks what the metric needs, such as `tool calls`."""
    return Score(state="skipped", explanation=explanation, unreported=what)


TOOL_CALLS_UNREPORTED = unreported_score("tool calls", NO_TOOL_CALL_DATA)


def text_of(value: Json) -> str | None:
    """Return a label as one text, or None.

    A decimal has no text: YAML reads `1.50` as 1.5, so how it was written is unknown.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def texts_of(value: Json) -> tuple[str, ...] | None:
    """Return a label or a list of labels as texts; None if one is not a text."""
    values = value if isinstance(value, list | tuple) else (value,)
    texts = tuple(text for each in values if (text := text_of(each)) is not None)
    return texts if len(texts) == len(values) else None


def check_pass_mark(pass_at: float) -> None:
    """Raise ValueError for a pass mark that every answer or no answer reaches."""
    if not 0 < pass_at <= 1:
        raise ValueError(f"pass_at: {pass_at!r} is not a share above 0 and at most 1, such as 0.8.")


def check_output_path(name: str, path: str) -> None:
    """Raise ValueError for a dotted path that exists in no output."""
    root = path.partition(".")[0]
    if root not in Output.__dataclass_fields__ or root == "error":
        raise ValueError(
            f"{name}: an output has no {root!r}. It has text, data, tool_calls, metadata, replies, "
            "usage, cost_usd, latency_s and flags."
        )


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A metric that ships with evalkit.

    Its fields are its arguments in the eval set, except for a field of type RunEnvironment, which
    evalkit fills in. The constructor raises ValueError for arguments that make no sense. Increment
    `version` when a code change can change scores, so that runs before and after it are not compared.
    `shorthand` names the argument that a bare value in the eval set sets.
    """

    unit: ClassVar[str] = ""
    version: ClassVar[int] = 1
    shorthand: ClassVar[str] = ""

    @property
    def revision(self) -> int:
        """The version of the scores with these arguments; some changes concern only some arguments."""
        return self.version

    @property
    def is_measurement(self) -> bool:
        """Whether it only measures, so that it never passes or fails a trial."""
        return False

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value is better."""
        return True

    @property
    def judges_answers(self) -> bool:
        """Whether it can find an answer wrong."""
        return not self.is_measurement

    @property
    def waits(self) -> bool:
        """Whether scoring waits for other processes."""
        return False

    @property
    def caution(self) -> str:
        """A warning for the user before anything is scored; empty if there is none."""
        return ""

    @property
    def needs(self) -> str:
        """What a case lacks if the metric does not apply to it, and where to look; part of a message."""
        return NEEDS_LABEL

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files that its scores depend on, in addition to those that are arguments."""
        return ()

    def applies_to(self, case: Case) -> bool:  # noqa: ARG002 - a default for subclasses
        """Return whether the case has what the metric needs."""
        return True

    def problem_with(self, case: Case) -> str | None:  # noqa: ARG002 - a default for subclasses
        """Return why the case's label cannot be used and what to do about it, or None."""
        return None

    def score(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        """Score one output; every exception becomes a metric error.

        Steps that take long on some answers call `check_deadline` of `evalkit.metrics.deadline`.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AnswerMetric(BuiltIn):
    """A metric that compares a part of the output with the case's label.

    Args:
        of: the part of the output, as a dotted path: `text`, `data.topic`, `tool_calls.0.name`.
        expected: the part of the label, as a dotted path into `expected`; empty means all of it.
    """

    of: str = "text"
    expected: str = ""

    def __post_init__(self) -> None:
        check_output_path("of", self.of)

    @property
    def needs_expected(self) -> bool:
        """Whether the case needs a label; an argument may take its place."""
        return True

    @property
    def judges_answers(self) -> bool:
        """Whether it compares with what is right for the case, not with the same text for all."""
        return self.needs_expected

    def expected_value(self, case: Case) -> Json:
        """Return the part of the label to compare with, or None if the case has none."""
        value = find_value(case.expected, self.expected)
        return None if value is ABSENT else value

    def applies_to(self, case: Case) -> bool:
        """Return whether the case has the label, where one is needed."""
        return not self.needs_expected or self.expected_value(case) is not None

    def problem_with(self, case: Case) -> str | None:
        """Return why the metric cannot use the case's label, or None."""
        if not self.needs_expected or case.expected is None:
            return None
        label = self.expected_value(case)
        return None if label is None else self.problem_with_label(label)

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label cannot be used; the default accepts a text, an integer, true and false."""
        if text_of(label) is not None:
            return None
        if isinstance(label, float):
            return (
                f"expected is {describe_kind(label)}. Put it in quotes to compare its digits, "
                "or use the metric numeric to compare its value."
            )
        return (
            f"expected is {describe_kind(label)}, but one text is needed. Name the part to compare with, "
            "as in `expected: answer`, or use one_of for a list, json for a mapping."
        )

    def answer(self, output: Output) -> Json:
        """Return the part of the output to score, or ABSENT."""
        return output.text if self.of == "text" else find_value(output, self.of)

    def answer_text(self, output: Output) -> str | None:
        """Return the part of the output to score as text; None if it is absent, a list or a mapping."""
        value = self.answer(output)
        # An output holds the float itself, so its repr is exact; YAML may have shortened a label.
        return repr(value) if isinstance(value, float) else text_of(value)

    def score_missing(self, output: Output) -> Score:
        """Return the score of an output without the part to score, or without a text there."""
        value = self.answer(output)
        if value in (ABSENT, None):
            return failed_score(f"the output has no {self.of}")
        return failed_score(f"the output's {self.of} is {describe_kind(value)}, not a text")


@dataclass(frozen=True, kw_only=True)
class TextMetric(AnswerMetric):
    """A metric of a part of the output that must be a text; any other output fails.

    A value that equals the label as JSON is right, whatever the metric makes of texts.

    Args:
        strip_reasoning: drop the reasoning of the model from the text first, such as
            `<think>...</think>`.
    """

    strip_reasoning: bool = False

    @property
    def revision(self) -> int:
        """The version; values that are no text are compared as JSON since the next one."""
        return self.version + (self.of != "text")

    def answer(self, output: Output) -> Json:
        """Return the part of the output to score, or ABSENT."""
        value = super().answer(output)
        return drop_reasoning(value) if self.strip_reasoning and isinstance(value, str) else value

    def score(self, case: Case, output: Output) -> Score:
        """Score the text, or the lack of one."""
        if self.of != "text" and self.is_label(self.answer(output), case):
            return self.score_equal()
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        return self.score_text(case, answer)

    def is_label(self, value: Json, case: Case) -> bool:
        """Return whether a value that is not a text equals the label, if the label counts."""
        if isinstance(value, str) or value in (ABSENT, None) or not self.needs_expected:
            return False
        return is_same_json(value, self.expected_value(case))

    def score_equal(self) -> Score:
        """Return the score of a value that equals the label."""
        return PASSED

    def score_text(self, case: Case, answer: str) -> Score:
        """Score the text of an answer."""
        raise NotImplementedError
