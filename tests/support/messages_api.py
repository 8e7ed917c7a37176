"""A stand-in for Anthropic's Messages API, which refuses what the documented API refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted_server import Asked, Play, json_reply
from tests.support.stub_judges import Asking, honest, read_asking

KEY = "sk-ant-s3cret"

FIELDS = {
    "model",
    "max_tokens",
    "messages",
    "system",
    "temperature",
    "tools",
    "tool_choice",
    "output_config",
    "thinking",
    "top_p",
    "stop_sequences",
}
SCHEMA_KEYS = {"type", "properties", "required", "additionalProperties", "enum", "description"}


class Refused(Exception):
    """A request that the API does not take."""


@dataclass
class MessagesApi:
    """Answers requests in their documented form, and caches prefixes that are marked for it.

    `has_schemas` is whether the model enforces schemas, and `refused` are the fields that it refuses.
    """

    judge: Callable[[Asking], object] = honest
    has_schemas: bool = True
    refused: Sequence[str] = ()
    stop_reason: str = ""
    answer: str = "It is Paris."
    cached: set[str] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Play:
        if asked.headers.get("x-api-key") != KEY or "authorization" in asked.headers:
            return error_reply(401, "authentication_error", "invalid x-api-key")
        if asked.target.partition("?")[0] != "/v1/messages":
            return error_reply(404, "not_found_error", "Not found")
        try:
            self._check(asked)
        except Refused as refused:
            return error_reply(400, "invalid_request_error", str(refused))
        return json_reply(self._answer(asked.json))

    def _check(self, asked: Asked) -> None:
        body = asked.json
        if "anthropic-version" not in asked.headers:
            raise Refused("anthropic-version: header is required")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise Refused(f"{name}: Field required")
        for name in body:
            if name not in FIELDS:
                raise Refused(f"{name}: Extra inputs are not permitted")
            if name in self.refused:
                raise Refused(f"`{name}` is deprecated for this model.")
        check_messages(body["messages"])
        if form := body.get("output_config", {}).get("format"):
            if not self.has_schemas:
                raise Refused("output_config.format: Extra inputs are not permitted")
            check_schema(form["schema"])
        for tool in body.get("tools", ()):
            if set(tool) - {"name", "description", "input_schema"} or "input_schema" not in tool:
                raise Refused("tools.0.custom.input_schema: Field required")

    def _answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        system = "".join(block["text"] for block in body.get("system", ()))
        messages = [{"role": "system", "content": system}, *body["messages"]]
        is_asked_to_judge = body["messages"][0]["content"].startswith("BEGIN ")
        said = self.judge(read_asking({"messages": messages})) if is_asked_to_judge else self.answer
        text = said if isinstance(said, str) else json.dumps(said)
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
        if choice := body.get("tool_choice"):
            call = {"type": "tool_use", "id": "t1", "name": choice["name"], "input": said}
            content.append(call)
        elif text:
            content.append({"type": "text", "text": text})
        reason = "tool_use" if choice else "end_turn"
        return message_of(content, self.stop_reason or reason, self._count_tokens(body))

    def _count_tokens(self, body: Mapping[str, Any]) -> dict[str, int]:
        prefix = json.dumps([body.get(key) for key in ("tools", "output_config", "system")])
        is_marked = any("cache_control" in block for block in body.get("system", ()))
        length = len(prefix) // 4 if is_marked else 0
        is_read = prefix in self.cached
        self.cached.add(prefix)
        return {
            "input_tokens": len(json.dumps(body)) // 4 - length,
            "cache_read_input_tokens": length if is_read else 0,
            "cache_creation_input_tokens": 0 if is_read else length,
            "output_tokens": 20,
        }


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse messages of a role that the API does not have, and empty ones."""
    for number, message in enumerate(messages):
        if message["role"] not in ("user", "assistant"):
            raise Refused(f'messages: Unexpected role "{message["role"]}".')
        if not message["content"].strip():
            raise Refused(f"messages.{number}: all messages must have non-empty content")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what structured output does not take."""
    for each in _iter_schemas(schema):
        if unknown := set(each) - SCHEMA_KEYS:
            raise Refused(f"output_config.format.schema: {min(unknown)} is not supported")
        if each["type"] == "object" and each.get("additionalProperties") is not False:
            raise Refused("For 'object' type, 'additionalProperties' must be explicitly false")


def _iter_schemas(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from _iter_schemas(inner)


def message_of(
    content: object, stop_reason: str = "end_turn", usage: object = None, **more: object
) -> dict[str, Any]:
    """A message as the API sends it."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-m1-20261101",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 100, "output_tokens": 20},
        **more,
    }


def error_reply(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
) -> Play:
    """An error as the API sends it."""
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_1",
    }
    return json_reply(body, status=status, headers=headers)
