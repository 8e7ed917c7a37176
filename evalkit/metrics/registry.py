"""The metrics that ship with evalkit, by the name an eval set gives; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from evalkit.metrics.builtin import BuiltIn

_HOMES = {
    "exact_match": "text_match:ExactMatch",
    "one_of": "text_match:OneOf",
    "contains": "text_match:Contains",
    "not_contains": "text_match:NotContains",
    "regex": "regex:Regex",
    "numeric": "numeric:Numeric",
    "json": "json:JsonMatch",
    "similarity": "similarity:Similarity",
    "coverage": "coverage:Coverage",
    "latency_s": "usage:LatencyS",
    "cost_usd": "usage:CostUsd",
    "tokens": "usage:Tokens",
    "tool_calls": "tool_calls:ToolCalls",
    "tools_not_called": "tool_calls:ToolsNotCalled",
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
