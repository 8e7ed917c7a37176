"""Measures what an answer took, which is neither right nor wrong: latency_s, cost_usd, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.spans import Span
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import BuiltIn
from evalkit.trace.calls import get_model_calls


@dataclass(frozen=True, kw_only=True)
class Measurement(BuiltIn):
    """A quantity of which less is better, read off the output."""

    @property
    def is_measurement(self) -> bool:
        """Nothing passes or fails it."""
        return True

    @property
    def higher_is_better(self) -> bool:
        """Less of it is better."""
        return False

    def score(self, case: Case, output: Output) -> Score:  # noqa: ARG002 - the label plays no part
        """The quantity; an agent that does not report it is skipped, never counted as 0."""
        value = self.read(output)
        if value is None:
            return Score(state="skipped", explanation=self.explain_missing(output))
        if value < 0:
            raise ValueError(f"the agent reports {value!r}, less than nothing")
        return Score(value=value)

    def explain_missing(self, output: Output) -> str:
        """Why there is no quantity."""
        raise NotImplementedError

    def read(self, output: Output) -> float | None:
        """The quantity, None when it is not known."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LatencyS(Measurement):
    """Seconds from asking to the whole answer, over all turns of a conversation."""

    unit: ClassVar[str] = "s"

    def read(self, output: Output) -> float:
        """Measured by evalkit, so always known."""
        return output.latency_s

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - it never comes to that
        """It is always known."""
        return "no latency was measured"


@dataclass(frozen=True, kw_only=True)
class CostUsd(Measurement):
    """US dollars the answer cost, as the agent or its spans say.

    Args:
        model: the calls of this model only, of which spans tell.
    """

    unit: ClassVar[str] = "usd"
    shorthand: ClassVar[str] = "model"

    model: str = ""

    def read(self, output: Output) -> float | None:
        """As reported; of one model, the sum over its calls if the cost of each is known."""
        if not self.model:
            return output.cost_usd
        return _add_up([span.cost_usd for span in _calls_of_model(output, self.model)])

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing reported."""
        return f"the agent reports no cost{f' of model {self.model!r}' if self.model else ''}"


@dataclass(frozen=True, kw_only=True)
class Tokens(Measurement):
    """Tokens the answer used, as the agent or its spans say.

    Args:
        count: those it read (`input`), those it wrote (`output`), or both (`total`).
        model: the calls of this model only, of which spans tell.
    """

    unit: ClassVar[str] = "tokens"
    shorthand: ClassVar[str] = "count"

    count: Literal["total", "input", "output"] = "total"
    model: str = ""

    def read(self, output: Output) -> float | None:
        """As reported; of one model, the sum over its calls if the tokens of each are known."""
        usage = output.usage
        if not self.model:
            return self._select_count(usage.input_tokens, usage.output_tokens) if usage else None
        return _add_up(
            [
                self._select_count(span.input_tokens, span.output_tokens)
                for span in _calls_of_model(output, self.model)
            ]
        )

    def _select_count(self, read: int | None, written: int | None) -> int | None:
        counts = {"total": (read, written), "input": (read,), "output": (written,)}[self.count]
        return None if None in counts else sum(filter(None, counts))

    def explain_missing(self, output: Output) -> str:  # noqa: ARG002 - there is one reason
        """Nothing reported."""
        return f"the agent reports no usage{f' of model {self.model!r}' if self.model else ''}"


def _calls_of_model(output: Output, model: str) -> list[Span]:
    return [span for span in get_model_calls(output) if span.model == model]


def _add_up(parts: Sequence[float | None]) -> float | None:
    """The sum of parts that are all known; a sum of some would be taken for the whole."""
    known = [part for part in parts if part is not None]
    return sum(known) if parts and len(known) == len(parts) else None
