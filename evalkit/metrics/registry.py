"""The metrics that ship with evalkit, by the name that an eval set gives."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from evalkit.metrics.builtin import BuiltIn

METRICS = {
    "exact_match": "evalkit.metrics.text_match:ExactMatch",
    "one_of": "evalkit.metrics.text_match:OneOf",
    "contains": "evalkit.metrics.text_match:Contains",
    "not_contains": "evalkit.metrics.text_match:NotContains",
    "regex": "evalkit.metrics.regex:Regex",
    "numeric": "evalkit.metrics.numeric:Numeric",
    "json": "evalkit.metrics.json:JsonMatch",
    "similarity": "evalkit.metrics.similarity:Similarity",
    "coverage": "evalkit.metrics.coverage:Coverage",
    "latency_s": "evalkit.metrics.usage:LatencyS",
    "time_to_first_token_s": "evalkit.metrics.usage:TimeToFirstTokenS",
    "cost_usd": "evalkit.metrics.usage:CostUsd",
    "tokens": "evalkit.metrics.usage:Tokens",
    "tool_calls": "evalkit.metrics.tool_calls:ToolCalls",
    "tools_not_called": "evalkit.metrics.tool_calls:ToolsNotCalled",
    "tool_error_rate": "evalkit.metrics.steps:ToolErrorRate",
    "tool_call_count": "evalkit.metrics.steps:ToolCallCount",
    "model_calls": "evalkit.metrics.steps:ModelCalls",
    "steps": "evalkit.metrics.steps:Steps",
    "step_latency_s": "evalkit.metrics.steps:StepLatency",
    "loops": "evalkit.metrics.steps:Loops",
    "recovered_from_error": "evalkit.metrics.outcomes:RecoveredFromError",
    "task_completion": "evalkit.metrics.outcomes:TaskCompletion",
    "escalated": "evalkit.metrics.outcomes:Escalated",
    "resolved": "evalkit.metrics.outcomes:Resolved",
    "pii": "evalkit.metrics.guardrails:Pii",
    "secrets": "evalkit.metrics.guardrails:Secrets",
    "unsafe_url": "evalkit.metrics.guardrails:UnsafeUrl",
    "language": "evalkit.metrics.guardrails:Language",
    "prompt_leak": "evalkit.metrics.attacks:PromptLeak",
    "injection_success": "evalkit.metrics.attacks:InjectionSuccess",
    "compiles": "evalkit.metrics.code:Compiles",
    "lint_clean": "evalkit.metrics.code:LintClean",
    "tests_passed": "evalkit.metrics.tests_passed:TestsPassed",
}
"""The class of each metric, a BuiltIn. Its module is imported when an eval set names the metric."""


def load_metric(name: str) -> type[BuiltIn]:
    """Import the class of a metric in METRICS."""
    module, _, attribute = METRICS[name].partition(":")
    return cast("type[BuiltIn]", getattr(import_module(module), attribute))
