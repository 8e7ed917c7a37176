"""The records of how an answer was produced: spans, tool calls, and tokens, under stable names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

SpanKind: TypeAlias = Literal["agent", "model", "tool", "retrieval", "step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One step: a call of a model or of a tool, or a step that the agent names.

    `start_s` counts from the start of the trial. `parent_id` is empty at the top level. `tool` and
    `model` are the names of what was called, and `prompt` is the name of the prompt template.
    `arguments` and `result` are the step's input and output. `error_type` is a short stable word
    (`Timeout`, `ValueError`) and `error` the message; both are empty if the step succeeded. None means
    unknown. `attributes` has the attributes that evalkit has no field for.
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
    """One tool call that the agent reports."""

    name: str
    arguments: Any = None
    result: Any = None
    error: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The tokens that the agent reports."""

    input_tokens: int = 0
    output_tokens: int = 0


NO_TOOL_CALLS = "no_tool_calls"
"""The flag of an output whose agent reports that it called no tool."""

CACHED = "cached"
"""The flag of an output from the cache; its latency is that of the original call."""

CACHE_GAP = "not_covered: "
"""What the flag of a cached output begins with that names what its cache entry does not cover."""

CUT_OFF = "cut_off"
"""The flag of an answer that ends at the limit of tokens."""
