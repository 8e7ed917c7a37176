"""Measures what an answer took, which is neither right nor wrong: latency_s, cost_usd, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.metrics.metric import BuiltIn
from evalkit.records import Case, Output, Score


@dataclass(frozen=True, kw_only=True)
class Measurement(BuiltIn):
    """A quantity of which less is better, read off the output."""

    higher_is_better: ClassVar[bool] = False
    measures: ClassVar[bool] = True
    noun: ClassVar[str]

    def score(self, case: Case, output: Output) -> Score:  # noqa: ARG002 - the label plays no part
        """The quantity; an agent that does not report it is skipped, never counted as 0."""
        value = self.read(output)
        if value is None:
            return Score(state="skipped", explanation=f"the agent reports no {self.noun}")
        if value < 0:
            raise ValueError(f"the agent reports a {self.noun} of {value!r}, less than nothing")
        return Score(value=value)

    def read(self, output: Output) -> float | None:
        """The quantity, None when it is not known."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LatencyS(Measurement):
    """Seconds from asking to the whole answer, over all turns of a conversation."""

    unit: ClassVar[str] = "s"
    noun: ClassVar[str] = "latency"

    def read(self, output: Output) -> float:
        """Measured by evalkit, so always known."""
        return output.latency_s


@dataclass(frozen=True, kw_only=True)
class CostUsd(Measurement):
    """US dollars the agent says the answer cost."""

    unit: ClassVar[str] = "usd"
    noun: ClassVar[str] = "cost"

    def read(self, output: Output) -> float | None:
        """As reported."""
        return output.cost_usd


@dataclass(frozen=True, kw_only=True)
class Tokens(Measurement):
    """Tokens the agent says the answer used.

    Args:
        count: those it read (`input`), those it wrote (`output`), or both (`total`).
    """

    unit: ClassVar[str] = "tokens"
    noun: ClassVar[str] = "usage"
    shorthand: ClassVar[str] = "count"

    count: Literal["total", "input", "output"] = "total"

    def read(self, output: Output) -> float | None:
        """As reported."""
        usage = output.usage
        if usage is None:
            return None
        read = usage.input_tokens if self.count != "output" else 0
        written = usage.output_tokens if self.count != "input" else 0
        return read + written
