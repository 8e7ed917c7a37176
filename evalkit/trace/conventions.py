"""The attribute names of tracing libraries, and the fields of `Span` that they map to.

Four vocabularies, with their older names: OpenTelemetry's GenAI conventions
(semantic-conventions-genai 2026-06, and semconv 1.26 to 1.41), OpenInference, Vercel's AI SDK, and
OpenLLMetry. The earlier name wins; `evalkit.*` is what `evalkit.span` writes.
"""

from __future__ import annotations

from typing import get_args

from evalkit.core.spans import SpanKind
from evalkit.trace.events import EVENT_INPUT, EVENT_OUTPUT

_LIBRARY_ALIASES: dict[str, tuple[str, ...]] = {
    "tool": ("gen_ai.tool.name", "ai.toolCall.name", "tool_call.function.name", "tool.name"),
    "model": (
        "gen_ai.request.model",
        "gen_ai.response.model",
        "llm.model_name",
        "embedding.model_name",
        "ai.model.id",
    ),
    "prompt": (
        "gen_ai.prompt.name",
        "llm.prompt_template.name",
        "prompt.name",
        "prompt.id",
        "langfuse.observation.prompt.name",
        "traceloop.prompt.key",
    ),
    "temperature": ("gen_ai.request.temperature", "ai.settings.temperature"),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cost_usd": ("gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total", "operation.cost"),
    "arguments": (
        "gen_ai.tool.call.arguments",
        "ai.toolCall.args",
        "ai.toolCall.input",
        "tool_call.function.arguments",
        "tool_arguments",
        "gen_ai.input.messages",
        "gen_ai.retrieval.query.text",
        "input.value",
        "traceloop.entity.input",
        "ai.prompt.messages",
        "ai.prompt",
        "gcp.vertex.agent.tool_call_args",
        EVENT_INPUT,
    ),
    "result": (
        "gen_ai.tool.call.result",
        "ai.toolCall.result",
        "ai.toolCall.output",
        "tool_response",
        "gen_ai.output.messages",
        "gen_ai.retrieval.documents",
        "output.value",
        "traceloop.entity.output",
        "ai.response.text",
        "gcp.vertex.agent.tool_response",
        EVENT_OUTPUT,
    ),
    "user_id": (
        "user.id",
        "enduser.id",
        "langfuse.user.id",
        "ai.telemetry.metadata.userId",
        "traceloop.association.properties.user_id",
    ),
    "session_id": (
        "session.id",
        "gen_ai.conversation.id",
        "langfuse.session.id",
        "ai.telemetry.metadata.sessionId",
        "traceloop.association.properties.session_id",
    ),
    "error_type": ("error.type", "exception.type"),
}

FIELD_ALIASES = {field: (f"evalkit.{field}", *names) for field, names in _LIBRARY_ALIASES.items()}
"""The attribute names of each field of `Span`, in order of precedence."""

TEMPLATE_ATTRIBUTE = "logfire.msg_template"

TEMPLATES: dict[str, dict[str, str]] = {
    "Function: {name}": {
        "name": "evalkit.tool",
        "input": "evalkit.arguments",
        "output": "evalkit.result",
    },
}
"""The names that attributes get in spans of these templates: Logfire's of the OpenAI Agents SDK."""

TOOL_PARAMETERS = ("tool.parameters", "tool.json_schema", "gen_ai.tool.json_schema")
"""The attributes that may hold the schema of a tool's arguments."""

TOOL_CALL_IDS = ("gen_ai.tool.call.id", "tool_call.id", "tool.id", "ai.toolCall.id")
"""The attributes that may hold the id that a model gave to a tool call."""

PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
"""The attributes that may hold the provider of a model."""

CACHED_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
)
"""The attributes that may hold the input tokens that were read from the provider's cache."""

IGNORED_SCOPES = ("crewai.telemetry",)
"""The instrumentations of frameworks that report on their use, not on what the agent does."""

AGENT_SCOPES = ("openinference.instrumentation.langchain",)
"""The instrumentations that trace whole agents, whose outermost span is the agent's own."""

NO_CALLS = ("execute_tool (merged)", "FinalAnswerTool", "tool failure")
"""The names of spans that look like a tool call: several calls taken together by Google ADK, the way in
which an agent of smolagents answers, and CrewAI's second span of a call that failed."""

KIND_ATTRIBUTES = (
    "evalkit.kind",
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "ai.operationId",
    "llm.request.type",
)
"""The attributes that may hold the kind of a span; the first value that `KIND_ALIASES` has wins."""

KIND_ALIASES: dict[str, SpanKind] = {
    **{kind: kind for kind in get_args(SpanKind)},
    # gen_ai.operation.name
    "chat": "model",
    "generate_content": "model",
    "text_completion": "model",
    "completion": "model",
    "embeddings": "model",
    "response": "model",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "agent",
    "execute_tool": "tool",
    "running tool": "tool",
    # openinference.span.kind; agent and tool are as above
    "llm": "model",
    "embedding": "model",
    "retriever": "retrieval",
    "reranker": "retrieval",
    "search_memory": "retrieval",
    "chain": "step",
    # traceloop.span.kind
    "workflow": "agent",
    "task": "step",
    # ai.operationId
    "ai.toolcall": "tool",
    "ai.generatetext.dogenerate": "model",
    "ai.streamtext.dostream": "model",
    "ai.generateobject.dogenerate": "model",
    "ai.streamobject.dostream": "model",
    "ai.embed.doembed": "model",
    "ai.embedmany.doembed": "model",
    "ai.generatetext": "agent",
    "ai.streamtext": "agent",
    "ai.generateobject": "agent",
    "ai.streamobject": "agent",
}
"""The kind for each value of these attributes, in lower case."""

VERSIONS = (
    "evalkit.version",
    "service.version",
    "langfuse.release",
    "langfuse.version",
    "gen_ai.agent.version",
    "ai.telemetry.metadata.version",
    "traceloop.association.properties.version",
    "metadata.version",
)
"""The attributes of a span or its resource that may hold the version of the agent."""

ENVIRONMENTS = (
    "deployment.environment.name",
    "deployment.environment",
    "langfuse.environment",
    "ai.telemetry.metadata.environment",
    "traceloop.association.properties.environment",
    "metadata.environment",
)
"""The attributes that may hold the environment of the agent, such as production."""

VARIANTS = (
    "evalkit.variant",
    "feature_flag.result.variant",
    "feature_flag.variant",
    "experiment.variant",
    "ai.telemetry.metadata.variant",
    "traceloop.association.properties.variant",
    "metadata.variant",
    "variant",
)
"""The attributes that may hold the arm of an experiment."""

CONVERSATIONS = ("pydantic_ai.all_messages",)
"""The attributes that may hold all messages of an agent's run, those of the user and its own."""

USERS = ("metadata.user_id", "langsmith.metadata.user_id")
"""The attributes that may hold the user of a request, after those of `FIELD_ALIASES`."""

SESSIONS = (
    "metadata.session_id",
    "metadata.thread_id",
    "metadata.conversation_id",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "langsmith.trace.session_id",
)
"""The attributes that may hold the session of a request, after those of `FIELD_ALIASES`."""

ESCALATIONS = ("evalkit.escalated", "metadata.escalated", "escalated")
"""The attributes that say whether the agent handed the request over to a person."""

RESOLUTIONS = ("evalkit.resolved", "metadata.resolved", "resolved")
"""The attributes that say whether the request was resolved."""

SAMPLING_SHARES = ("evalkit.sampling_p", "sampling.probability", "metadata.sampling_p")
"""The attributes that may hold the probability with which a trace was kept."""

FIRST_TOKEN_SECONDS = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.server.time_to_first_token",
    "gen_ai.client.time_to_first_token",
    "llm.time_to_first_token",
)
"""The attributes that may hold the seconds to the first token."""

FIRST_TOKEN_MS = ("ai.response.msToFirstChunk", "gen_ai.response.time_to_first_token_ms")
"""The attributes that may hold the milliseconds to the first token."""

FIRST_TOKEN_EVENTS = (
    "ai.stream.firstChunk",
    "First Token Stream Event",
    "gen_ai.content.first_token",
    "new_token",
)
"""The names of the events of a span at its first token."""

EVALUATION_EVENT = "gen_ai.evaluation.result"
"""The name of an event or a log record that rates a span."""
