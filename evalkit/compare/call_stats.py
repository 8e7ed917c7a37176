"""Summarize the calls of a run by tool and by model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeVar

from evalkit.compare.scores import quantile
from evalkit.core.run import Run
from evalkit.core.spans import Span, ToolCall
from evalkit.trace.calls import UNNAMED, get_model_calls, get_tool_calls

Call = TypeVar("Call", ToolCall, Span)
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStats:
    """All calls of one tool, or of one model, in the trials of a run.

    The latencies are quantiles over the timed calls, None if no call was timed. Tokens and cost are sums
    over the calls that report them, None if no call does.
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
        """The share of the calls that ended in an error (0..1)."""
        return self.errors / self.calls


def compute_call_stats(run: Run) -> tuple[CallStats, ...]:
    """Return the statistics of every tool, then of every model, sorted by name; fresh trials are left out."""
    tools = _group_by_name(
        (get_tool_calls(trial.output) or () for trial in run.trials), lambda call: call.name
    )
    models = _group_by_name(
        (get_model_calls(trial.output) for trial in run.trials),
        lambda span: span.model or UNNAMED,
    )
    return (
        *(_tool_stats(name, tools[name]) for name in sorted(tools)),
        *(_model_stats(name, models[name]) for name in sorted(models)),
    )


def _group_by_name(
    trials: Iterable[Sequence[Call]], name_of: Callable[[Call], str]
) -> Mapping[str, Sequence[Sequence[Call]]]:
    """Return the calls of each name, as one sequence for every trial that has such calls."""
    found: dict[str, list[list[Call]]] = defaultdict(list)
    for calls in trials:
        by_name: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_name[name_of(call)].append(call)
        for name, named in by_name.items():
            found[name].append(named)
    return found


def _tool_stats(name: str, by_trial: Sequence[Sequence[ToolCall]]) -> CallStats:
    calls = list(chain.from_iterable(by_trial))
    p50, p95, p99 = _quantiles(call.duration_s for call in calls)
    return CallStats(
        kind="tool",
        name=name,
        calls=len(calls),
        trials=len(by_trial),
        errors=sum(call.error is not None for call in calls),
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
    )


def _model_stats(name: str, by_trial: Sequence[Sequence[Span]]) -> CallStats:
    spans = list(chain.from_iterable(by_trial))
    p50, p95, p99 = _quantiles(span.duration_s for span in spans)
    return CallStats(
        kind="model",
        name=name,
        calls=len(spans),
        trials=len(by_trial),
        errors=sum(bool(span.error_type or span.error) for span in spans),
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        input_tokens=sum_known(span.input_tokens for span in spans),
        output_tokens=sum_known(span.output_tokens for span in spans),
        cost_usd=sum_known(span.cost_usd for span in spans),
    )


def _quantiles(seconds: Iterable[float | None]) -> list[float | None]:
    known = sorted(each for each in seconds if each is not None)
    return [quantile(known, level) if known else None for level in (0.5, 0.95, 0.99)]


def sum_known(values: Iterable[Number | None]) -> Number | None:
    """Return the sum of the known values; None if no value is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
