"""Read logs of requests to models: of OpenAI's and Anthropic's APIs, and of LiteLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.field_values import as_count, as_number
from evalkit.traffic.mapped_rows import MappedReader

_RESPONSES = ("response.body", "response")
_REQUESTS = ("request.body", "request")


def _under(parents: tuple[str, ...], *names: str) -> tuple[str, ...]:
    return tuple(f"{parent}.{name}" for parent in parents for name in names)


CHAT_LOG_PATHS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "request_id", "custom_id", *_under(_RESPONSES, "id")),
    "ts": (
        "ts",
        "timestamp",
        "time",
        "start_time",
        "created_at",
        "request_time",
        *_under(_REQUESTS, "created_at"),
        *_under(_RESPONSES, "created", "created_at"),
        "created",
    ),
    "end": ("end", "end_time", "completed_at"),
    "input": (*_under(_REQUESTS, "messages", "input", "prompt"), "messages", "input", "prompt"),
    "output": (
        *_under(_RESPONSES, "choices", "output", "content"),
        "choices",
        "output",
        "content",
    ),
    "user": ("user", "user_id", *_under(_REQUESTS, "user", "metadata.user_id"), "metadata.user_id"),
    "session": (
        "session",
        "session_id",
        "conversation_id",
        "thread_id",
        *_under(_REQUESTS, "metadata.session_id"),
        "metadata.session_id",
        "metadata.conversation_id",
    ),
    "version": (
        "version",
        "app_version",
        "metadata.version",
        *_under(_REQUESTS, "metadata.version"),
    ),
    "variant": ("variant", "metadata.variant", *_under(_REQUESTS, "metadata.variant")),
    "environment": ("environment", "env", "metadata.environment"),
    "model": (*_under(_RESPONSES, "model"), *_under(_REQUESTS, "model"), "model"),
    "latency_ms": ("latency_ms", "duration_ms", "response_ms"),
    "latency_s": ("latency_s", "duration_s", "duration", "latency"),
    "ttft_ms": ("ttft_ms", "time_to_first_token_ms"),
    "ok": ("ok", "success"),
    "error_type": ("error.type", "error.code", *_under(_RESPONSES, "error.type"), "error_type"),
    "error_text": ("error.message", *_under(_RESPONSES, "error.message"), "error"),
    "input_tokens": (
        *_under(_RESPONSES, "usage.prompt_tokens", "usage.input_tokens"),
        "usage.prompt_tokens",
        "usage.input_tokens",
    ),
    "output_tokens": (
        *_under(_RESPONSES, "usage.completion_tokens", "usage.output_tokens"),
        "usage.completion_tokens",
        "usage.output_tokens",
    ),
    "cached_tokens": (
        *_under(
            _RESPONSES,
            "usage.prompt_tokens_details.cached_tokens",
            "usage.input_tokens_details.cached_tokens",
            "usage.cache_read_input_tokens",
        ),
        "usage.prompt_tokens_details.cached_tokens",
    ),
    "cost_usd": ("cost_usd", "cost"),
    "tools": ("tools_called",),
    "feedback": ("feedback", "rating", "metadata.feedback"),
    "escalated": ("escalated", "metadata.escalated"),
    "resolved": ("resolved", "metadata.resolved"),
}
"""Where each field is in a log of requests, in order of precedence."""

LITELLM_PATHS: Mapping[str, tuple[str, ...]] = {
    "id": ("request_id", "id", "litellm_call_id"),
    "ts": ("startTime", "start_time"),
    "end": ("endTime", "end_time"),
    "first_token": ("completionStartTime", "completion_start_time"),
    "input": ("messages", "proxy_server_request.messages"),
    "output": ("response",),
    "user": ("end_user", "user", "metadata.user_api_key_end_user_id"),
    "session": ("session_id", "metadata.session_id", "metadata.requester_metadata.session_id"),
    "version": ("metadata.version", "metadata.requester_metadata.version"),
    "variant": ("metadata.variant", "metadata.requester_metadata.variant"),
    "environment": ("metadata.environment",),
    "model": ("model", "model_group"),
    "provider": ("custom_llm_provider",),
    "ok": ("status",),
    "error_type": (
        "error_information.error_class",
        "metadata.error_information.error_class",
        "metadata.error_information.error_code",
    ),
    "error_text": (
        "error_information.error_message",
        "metadata.error_information.error_message",
        "error_str",
    ),
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "cached_tokens": ("metadata.usage_object.prompt_tokens_details.cached_tokens",),
    "cost_usd": ("spend", "response_cost"),
    "tools": ("tools_called",),
}
"""Where each field is in LiteLLM's spend logs and logging payloads, in order of precedence."""


def is_chat_log(record: Json) -> bool:
    """Return whether a record has a response of OpenAI's or Anthropic's API."""
    if not isinstance(record, Mapping):
        return False
    response = _find_response(record)
    return bool(response.keys() & {"choices", "usage"}) or response.get("object") in (
        "chat.completion",
        "response",
    )


def is_litellm(record: Json) -> bool:
    """Return whether a record is a spend log or a logging payload of LiteLLM."""
    if not isinstance(record, Mapping):
        return False
    return bool({"spend", "response_cost"} & record.keys()) and bool(
        {"startTime", "start_time"} & record.keys()
    )


def open_chat_log(source: str) -> MappedReader:
    """Return a reader for logs of OpenAI's and Anthropic's APIs."""
    return MappedReader(source, CHAT_LOG_PATHS, _prepare_chat_log)


def open_litellm(source: str) -> MappedReader:
    """Return a reader for spend logs and logging payloads of LiteLLM; those without texts have tokens."""
    return MappedReader(source, LITELLM_PATHS, _prepare_litellm, needs_text=False)


def _find_response(record: Mapping[str, Any]) -> Mapping[str, Any]:
    response = parse_value(record.get("response"))
    if not isinstance(response, Mapping):
        return record
    body = parse_value(response.get("body"))
    return body if isinstance(body, Mapping) else response


def _prepare_chat_log(record: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return a record with the tools that were called, all input tokens, and whether it succeeded."""
    response = _find_response(record)
    changed: dict[str, Json] = {**record, "tools_called": list_tool_calls(response)}
    code = find_status(record)
    if code is not None:
        changed["ok"] = code < 400
        if code >= 400:
            changed.setdefault("error_type", f"HTTP {code}")
    usage = response.get("usage")
    # Anthropic counts what the cache served apart from the other input tokens.
    if isinstance(usage, Mapping) and "cache_read_input_tokens" in usage:
        parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        total = sum(as_count(usage.get(part)) or 0 for part in parts)
        changed["response"] = {**response, "usage": {**usage, "input_tokens": total}}
    if "ok" not in changed and not record.get("error") and not response.get("error"):
        changed["ok"] = True
    return changed


def find_status(record: Mapping[str, Json]) -> int | None:
    """Return the HTTP status of a logged response; None if it is not logged."""
    response = record.get("response")
    inner = response.get("status_code") if isinstance(response, Mapping) else None
    number = as_number(record.get("status_code", record.get("http_status", inner)))
    return None if number is None else int(number)


def _prepare_litellm(record: Mapping[str, Json]) -> Mapping[str, Json]:
    # Empty values are the texts `None` and `{}`.
    plain = {
        key: value for key, value in record.items() if value not in ("", "None", "{}", "[]", {}, [])
    }
    response = parse_value(plain.get("response"))
    tools = list_tool_calls(response) if isinstance(response, Mapping) else []
    return {**plain, "tools_called": tools}


def list_tool_calls(response: Mapping[str, Json]) -> list[str]:
    """Return the names of the tools that a response of either API calls."""
    names: list[Json] = []
    for choice in response.get("choices") or ():
        message = choice.get("message") if isinstance(choice, Mapping) else None
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        names += [
            (call.get("function") or {}).get("name")
            for call in calls or ()
            if isinstance(call, Mapping)
        ]
    for key, kind in (("content", "tool_use"), ("output", "function_call")):
        parts = response.get(key)
        names += [
            part.get("name")
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, Mapping) and part.get("type") == kind
        ]
    return [name for name in names if isinstance(name, str)]
