"""Measure what an answer used, which is neither right nor wrong: time, cost, and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.spans import Span
from evalkit.core.trial import STREAM_STARTS, Output, Score
from evalkit.metrics.builtin import BuiltIn, unreported_score
from evalkit.trace.calls import get_model_calls


@dataclass(frozen=True, kw_only=True)
class Measurement(BuiltIn):
    """A quantity in the output that is better when it is lower; it never passes or fails a trial."""

    @property
    def is_measurement(self) -> bool:
        """Always true."""
        return True

    @property
    def higher_is_better(self) -> bool:
        """Always false."""
        return False

    def score(self, case: Case, output: Output) -> Score:  # noqa: ARG002 - the case is not used
        """Return the quantity; an agent that does not report it is skipped, never counted as 0."""
        value = self.measure(output)
        if isinstance(value, Score):
            return value
        if value < 0:
            raise ValueError(f"the agent reports {value!r}, which is negative")
        return Score(value=value)

    def measure(self, output: Output) -> float | Score:
        """Return the quantity, or a skipped score that says why there is none."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LatencyS(Measurement):
    """Seconds from the request to the whole answer, over all turns of a conversation."""

    unit: ClassVar[str] = "s"

    def measure(self, output: Output) -> float:
        """Return the latency, which evalkit measures itself."""
        return output.latency_s


@dataclass(frozen=True, kw_only=True)
class TimeToFirstTokenS(Measurement):
    """Seconds from the request to the first piece of a streamed answer, the longest of all turns."""

    unit: ClassVar[str] = "s"

    def measure(self, output: Output) -> float | Score:
        """Return the time, which evalkit measures itself where the agent streams."""
        if output.first_token_s is None:
            return unreported_score(STREAM_STARTS, "the agent does not stream its answer")
        return output.first_token_s


@dataclass(frozen=True, kw_only=True)
class CostUsd(Measurement):
    """US dollars that the answer cost, as reported by the agent or its spans.

    Args:
        model: only the calls of this model, which spans must report.
    """

    unit: ClassVar[str] = "usd"
    shorthand: ClassVar[str] = "model"

    model: str = ""

    def measure(self, output: Output) -> float | Score:
        """Return the reported cost; for one model, the sum if the cost of each call is known."""
        if self.model:
            costs = [span.cost_usd for span in _calls_of_model(output, self.model)]
            cost = _sum_if_known(costs)
        else:
            cost = output.cost_usd
        if cost is None:
            return unreported_score("costs", f"the agent reports no cost{_of_model(self.model)}")
        return cost


@dataclass(frozen=True, kw_only=True)
class Tokens(Measurement):
    """Tokens that the answer used, as reported by the agent or its spans.

    Args:
        count: the `input` tokens, the `output` tokens, or both (`total`).
        model: only the calls of this model, which spans must report.
    """

    unit: ClassVar[str] = "tokens"
    shorthand: ClassVar[str] = "count"

    count: Literal["total", "input", "output"] = "total"
    model: str = ""

    def measure(self, output: Output) -> float | Score:
        """Return the reported tokens; for one model, the sum if those of each call are known."""
        reported = [output.usage] if output.usage else []
        usages = _calls_of_model(output, self.model) if self.model else reported
        parts = [each.input_tokens for each in usages] if self.count != "output" else []
        parts += [each.output_tokens for each in usages] if self.count != "input" else []
        tokens = _sum_if_known(parts)
        if tokens is None:
            return unreported_score("tokens", f"the agent reports no usage{_of_model(self.model)}")
        return tokens


def _of_model(model: str) -> str:
    return f" of model {model!r}" if model else ""


def _calls_of_model(output: Output, model: str) -> list[Span]:
    return [span for span in get_model_calls(output) if span.model == model]


def _sum_if_known(parts: Sequence[float | None]) -> float | None:
    """Return the sum of parts that are all known; a partial sum would look like the whole."""
    known = [part for part in parts if part is not None]
    return sum(known) if parts and len(known) == len(parts) else None
