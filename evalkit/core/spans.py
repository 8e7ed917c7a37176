"""What is seen of how an answer came about: tool calls, tokens, and steps under stable names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

SpanKind: TypeAlias = Literal["agent", "model", "tool", "retrieval", "step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One step: a call of a model, of a tool, or whatever the agent names.

    `start_s` counts from the start of the trial. `parent_id` is empty for what stands right below the
    trial. `tool` and `model` name what was called, `prompt` the template the model was asked with;
    `arguments` and `result` are what went into the step and what came out of it. `error_type` is a
    short stable word (`Timeout`, `ValueError`), `error` the message; both are empty when all went well.
    What is None is not known. `attributes` holds what was told under names evalkit has no field for.
    """

    id: str
    name: str
    kind: SpanKind = "step"
    parent_id: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0
    error_type: str = ""
    error: str = ""
    tool: str = ""
    model: str = ""
    prompt: str = ""
    temperature: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    arguments: Any = None
    result: Any = None
    user_id: str = ""
    session_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """One tool call the agent says it made."""

    name: str
    arguments: Any = None
    result: Any = None
    error: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens the agent says it used."""

    input_tokens: int = 0
    output_tokens: int = 0


NO_TOOL_CALLS = "no_tool_calls"

CACHED = "cached"
"""The flag of an output that was not asked for again; its latency is that of the call it came from."""
