"""A run's tool and model calls into one summary for each tool and each model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from evalkit.compare.scores import quantile
from evalkit.core.run import Run
from evalkit.core.spans import Span, ToolCall
from evalkit.trace.calls import get_model_calls, get_tool_calls

Number = TypeVar("Number", int, float)
UNNAMED = "(unnamed)"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStats:
    """All calls of one tool, or of one model, that the trials of a run tell of.

    The seconds are over the calls that were timed, None without any; tokens and cost are sums over the
    calls that tell them, None when none does.
    """

    kind: Literal["tool", "model"]
    name: str
    calls: int
    trials: int
    errors: int
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def error_rate(self) -> float:
        """The share of the calls that ended in an error."""
        return self.errors / self.calls


@dataclass(slots=True)
class _Calls:
    """The calls of one tool or model, and how many trials they are of."""

    trials: int = 0
    tools: list[ToolCall] = field(default_factory=list)
    models: list[Span] = field(default_factory=list)


def compute_call_stats(run: Run) -> tuple[CallStats, ...]:
    """Every tool by name, then every model by name; fresh trials are left out as from all numbers."""
    tools: dict[str, _Calls] = {}
    models: dict[str, _Calls] = {}
    for trial in run.trials:
        named: dict[str, list[ToolCall]] = {}
        for call in get_tool_calls(trial.output) or ():
            named.setdefault(call.name, []).append(call)
        for name, calls in named.items():
            kept = tools.setdefault(name, _Calls())
            kept.trials += 1
            kept.tools += calls
        asked: dict[str, list[Span]] = {}
        for span in get_model_calls(trial.output):
            asked.setdefault(span.model or UNNAMED, []).append(span)
        for name, spans in asked.items():
            kept = models.setdefault(name, _Calls())
            kept.trials += 1
            kept.models += spans
    return (
        *(_tool_stats(name, tools[name]) for name in sorted(tools)),
        *(_model_stats(name, models[name]) for name in sorted(models)),
    )


def _tool_stats(name: str, calls: _Calls) -> CallStats:
    seconds = _known_values(calls.tools, lambda call: call.duration_s)
    return _build_stats("tool", name, calls, sum(c.error is not None for c in calls.tools), seconds)


def _model_stats(name: str, calls: _Calls) -> CallStats:
    spans = calls.models
    errors = sum(bool(span.error_type or span.error) for span in spans)
    return _build_stats(
        "model",
        name,
        calls,
        errors,
        [span.duration_s for span in spans],
        tokens_in=_known_values(spans, lambda span: span.input_tokens),
        tokens_out=_known_values(spans, lambda span: span.output_tokens),
        costs=_known_values(spans, lambda span: span.cost_usd),
    )


def _build_stats(  # noqa: PLR0913 - what a summary is made of
    kind: Literal["tool", "model"],
    name: str,
    calls: _Calls,
    errors: int,
    seconds: Sequence[float],
    *,
    tokens_in: Sequence[int] = (),
    tokens_out: Sequence[int] = (),
    costs: Sequence[float] = (),
) -> CallStats:
    ordered = sorted(seconds)
    p50, p95, p99 = (quantile(ordered, level) if ordered else None for level in (0.5, 0.95, 0.99))
    return CallStats(
        kind=kind,
        name=name,
        calls=len(calls.tools) + len(calls.models),
        trials=calls.trials,
        errors=errors,
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        input_tokens=sum(tokens_in) if tokens_in else None,
        output_tokens=sum(tokens_out) if tokens_out else None,
        cost_usd=sum(costs) if costs else None,
    )


Call = TypeVar("Call")


def _known_values(calls: Iterable[Call], read: Callable[[Call], Number | None]) -> list[Number]:
    return [value for call in calls if (value := read(call)) is not None]
