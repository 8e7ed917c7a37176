"""The metrics that ship with evalkit, by the name an eval set gives; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from evalkit.metrics.metric import BuiltIn

_HOMES = {
    "exact_match": "texts:ExactMatch",
    "one_of": "texts:OneOf",
    "contains": "texts:Contains",
    "not_contains": "texts:NotContains",
    "regex": "patterns:Regex",
    "numeric": "numeric:Numeric",
    "json": "structure:JsonMatch",
    "similarity": "similarity:Similarity",
    "coverage": "facts:Coverage",
    "latency_s": "measurements:LatencyS",
    "cost_usd": "measurements:CostUsd",
    "tokens": "measurements:Tokens",
    "tool_calls": "tools:ToolCalls",
    "tools_not_called": "tools:ToolsNotCalled",
    "tool_error_rate": "steps:ToolErrorRate",
    "tool_call_count": "steps:ToolCallCount",
    "model_calls": "steps:ModelCalls",
    "steps": "steps:Steps",
    "step_latency_s": "steps:StepLatency",
    "loops": "steps:Loops",
    "recovered_from_error": "outcomes:RecoveredFromError",
    "task_completion": "outcomes:TaskCompletion",
    "escalated": "outcomes:Escalated",
    "resolved": "outcomes:Resolved",
    "compiles": "code:Compiles",
    "lint_clean": "code:LintClean",
    "tests_passed": "code:TestsPassed",
}


class _Registry(Mapping[str, type[BuiltIn]]):
    def __getitem__(self, name: str) -> type[BuiltIn]:
        module, _, cls = _HOMES[name].partition(":")
        metric: type[BuiltIn] = getattr(import_module(f"evalkit.metrics.{module}"), cls)
        return metric

    def __contains__(self, name: object) -> bool:
        return name in _HOMES

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


METRICS: Mapping[str, type[BuiltIn]] = _Registry()
