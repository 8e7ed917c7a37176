"""What a built-in metric is: a dataclass of its YAML arguments that scores one output."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.metrics.explanations import describe_kind
from evalkit.metrics.paths import ABSENT, find_value

PASSED = Score(value=1.0, passed=True)


def failed_score(explanation: str) -> Score:
    """The score of an answer that is wrong, with the reason."""
    return Score(value=0.0, passed=False, explanation=explanation)


def text_of(value: Json) -> str | None:
    """The one text that a label stands for, or None.

    YAML keeps no more of a decimal than its value (`1.50` is 1.5), so that its spelling is unknown.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def texts_of(value: Json) -> tuple[str, ...] | None:
    """The texts that a label, or a list of labels, stands for; None when there is anything else."""
    values = value if isinstance(value, list | tuple) else (value,)
    texts = tuple(text_of(each) for each in values)
    return None if None in texts else tuple(text for text in texts if text is not None)


def check_pass_mark(pass_at: float) -> None:
    """Refuse a mark that every answer would pass, or none (ValueError)."""
    if not 0 < pass_at <= 1:
        raise ValueError(f"pass_at: {pass_at!r} is not a share above 0 and at most 1, such as 0.8.")


def check_output_path(name: str, path: str) -> None:
    """Refuse a dotted path that leads nowhere in any output (ValueError)."""
    root = path.partition(".")[0]
    if root not in Output.__dataclass_fields__ or root == "error":
        raise ValueError(
            f"{name}: an output has no {root!r}. It has text, data, tool_calls, metadata, replies, "
            "usage, cost_usd, latency_s and flags."
        )


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A metric that ships with evalkit; its fields are its arguments, but for one of type Surroundings.

    The constructor raises ValueError for arguments that cannot be meant. `version` is raised
    whenever equal arguments score differently than before, so that runs are not compared across it.
    `shorthand` names the argument that a bare value in the eval set is for.
    """

    unit: ClassVar[str] = ""
    version: ClassVar[int] = 1
    shorthand: ClassVar[str] = ""

    @property
    def is_measurement(self) -> bool:
        """Whether it is a measurement, which nothing passes or fails."""
        return False

    @property
    def higher_is_better(self) -> bool:
        """Which way its value gets better."""
        return True

    @property
    def waits(self) -> bool:
        """Whether its score waits for other processes."""
        return False

    @property
    def caution(self) -> str:
        """What a user should know before it scores; empty when there is nothing."""
        return ""

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files whose content decides its scores, beside those that are arguments."""
        return ()

    def applies_to(self, case: Case) -> bool:  # noqa: ARG002 - a default that subclasses narrow
        """Whether the case has what the metric needs."""
        return True

    def problem_with(self, case: Case) -> str | None:  # noqa: ARG002 - likewise
        """Why the case's label cannot be used, and what to do about it."""
        return None

    def score(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        """Score one output; whatever is raised becomes a metric error."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AnswerMetric(BuiltIn):
    """A metric that holds a part of the output against the case's label.

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
        """Whether the case must say what is expected; arguments may say it instead."""
        return True

    def expected_value(self, case: Case) -> Json:
        """The part of the label that is asked for; None when the case does not give it."""
        value = find_value(case.expected, self.expected)
        return None if value is ABSENT else value

    def applies_to(self, case: Case) -> bool:
        """A case without the label is not for this metric."""
        return not self.needs_expected or self.expected_value(case) is not None

    def problem_with(self, case: Case) -> str | None:
        """A label of a kind that the metric cannot use."""
        if not self.needs_expected or case.expected is None:
            return None
        wanted = self.expected_value(case)
        return None if wanted is None else self.problem_with_label(wanted)

    def problem_with_label(self, label: Json) -> str | None:
        """Why a label cannot be used; the default takes a text, an integer, true and false."""
        if text_of(label) is not None:
            return None
        if isinstance(label, float):
            return (
                f"expected is {describe_kind(label)}. Put it in quotes to compare its spelling, "
                "or use the metric numeric to compare its value."
            )
        return (
            f"expected is {describe_kind(label)}, and one text is needed. Name the part that is meant, "
            "as in `expected: answer`, or use one_of for a list, json for a mapping."
        )

    def answer(self, output: Output) -> Json:
        """The part of the output that is asked for, or ABSENT."""
        return output.text if self.of == "text" else find_value(output, self.of)

    def answer_text(self, output: Output) -> str | None:
        """The same as text; None when there is none or it is a list or mapping."""
        value = self.answer(output)
        return repr(value) if isinstance(value, float) else text_of(value)

    def score_missing(self, output: Output) -> Score:
        """The score of an output that does not have the part that is asked for, or not as text."""
        value = self.answer(output)
        if value is ABSENT or value is None:
            return failed_score(f"the output has no {self.of}")
        return failed_score(f"the output's {self.of} is {describe_kind(value)}, not a text")
