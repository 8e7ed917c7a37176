"""Send messages to Anthropic's Messages API, in the form in which chat models of OpenAI are called.

Requests and replies are translated, so that the same code builds requests and reads replies for both.
Anthropic's own endpoint for OpenAI's protocol ignores `response_format` and caches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from evalkit.agents.endpoint import Endpoint, EndpointDefaults
from evalkit.agents.network_errors import CONNECT_TIMEOUT_S
from evalkit.agents.openai_client import (
    PLACEHOLDER_KEY,
    ChatClient,
    open_transport,
)
from evalkit.agents.reply_body import ReplyBody
from evalkit.agents.reply_text import NotJson, decode_text, read_capped, read_json
from evalkit.core.literals import Json

ANTHROPIC_DEFAULTS = EndpointDefaults(
    url="https://api.anthropic.com",
    url_variable="ANTHROPIC_BASE_URL",
    key_variable="ANTHROPIC_API_KEY",
)
API_VERSION = "2023-06-01"
MAX_TOKENS = 4096
"""The length limit of replies without `max_tokens`, which a request must have. All models allow it."""

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Why a reply ended, by Anthropic's words for it in OpenAI's. Others stay as they are."""

_TOOL_CHOICES = {"auto": "auto", "required": "any", "none": "none"}

# The API refuses an empty message, which a judge may have sent.
_EMPTY_REPLY = "(an empty reply)"


class AnthropicClient(ChatClient):
    """Calls one model through the Messages API, with one HTTP client for the whole run.

    `http` is an asynchronous client of httpx or httpx2.
    """

    def __init__(
        self,
        http: Any,
        endpoint: Endpoint,
        model: str,
        secrets: Sequence[str],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(http, endpoint, model, secrets)
        self._http = http
        self._url = build_messages_url(endpoint)
        self._headers = {
            "content-type": "application/json",
            "x-api-key": endpoint.key or PLACEHOLDER_KEY,
            "anthropic-version": API_VERSION,
            **{name.lower(): value for name, value in headers.items()},
        }

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _send(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json]
    ) -> ReplyBody:
        import openai  # noqa: PLC0415 - loaded by `connect_anthropic`

        request = {"model": self._model, **to_anthropic_request(messages, body)}
        async with self._http.stream(
            "POST",
            self._url,
            # In UTF-8, so that half a character is found here and not by the server.
            content=json.dumps(request, ensure_ascii=False).encode(),
            headers=self._headers,
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
        ) as response:
            received = await read_capped(response.aiter_bytes())
        try:
            reply = read_json(decode_text(received)[0])
        except NotJson:
            return ReplyBody(data=received, media_type="")
        return ReplyBody(data=json.dumps(to_openai_reply(reply)).encode(), media_type="")


def connect_anthropic(
    endpoint: Endpoint,
    model: str,
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
) -> AnthropicClient:
    """Create a client; this imports an HTTP client, takes a second, and may run in a thread.

    Raises:
        RuntimeError: the HTTP client was installed without its aiohttp transport.
    """
    return AnthropicClient(open_transport(), endpoint, model, secrets, headers or {})


def build_messages_url(endpoint: Endpoint) -> str:
    """Return the URL of the Messages API; the base URL may end in `/v1` and have a query."""
    base, query = endpoint.split_url()
    url = f"{base.removesuffix('/v1')}/v1/messages"
    return f"{url}?{urlencode(query)}" if query else url


def to_anthropic_request(
    messages: Sequence[Mapping[str, str]], body: Mapping[str, Json]
) -> dict[str, Json]:
    """Return a request of OpenAI's form in Anthropic's, without the model.

    Only what evalkit itself sends is translated; the rest of `body` is sent unchanged. System messages
    become one, as in Anthropic's own translation. It is marked for the cache, which an API skips if it
    is too short.
    """
    request: dict[str, Json] = {"max_tokens": MAX_TOKENS}
    for key, value in body.items():
        request.update(_translate_field(key, value, body))
    system = "\n".join(each["content"] for each in messages if each["role"] == "system")
    if system.strip():
        cached = {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}
        request["system"] = [cached]
    request["messages"] = [
        {"role": each["role"], "content": _fill_empty(each)}
        for each in messages
        if each["role"] != "system"
    ]
    return request


def _fill_empty(message: Mapping[str, str]) -> str:
    is_empty = message["role"] == "assistant" and not message["content"].strip()
    return _EMPTY_REPLY if is_empty else message["content"]


def _translate_field(key: str, value: Json, body: Mapping[str, Json]) -> dict[str, Json]:
    match key:
        case "response_format":
            return _to_output_config(value, body)
        case "max_completion_tokens":
            return {"max_tokens": value}
        case "tools" if isinstance(value, list):
            return {"tools": [*map(_to_anthropic_tool, value)]}
        case "tool_choice":
            return {"tool_choice": _to_anthropic_choice(value)}
        case "output_config" if "response_format" in body:
            return {}  # merged with the format
        case "seed":
            return {}  # there is none, and an unknown field is refused
    return {key: value}


def _to_output_config(response_format: Json, body: Mapping[str, Json]) -> dict[str, Json]:
    config = {**body.get("output_config", {})}
    if response_format.get("type") == "json_schema":
        schema = response_format["json_schema"]["schema"]
        config["format"] = {"type": "json_schema", "schema": schema}
    # There is no JSON without a schema: the prompt alone asks for it.
    return {"output_config": config} if config else {}


def _to_anthropic_tool(tool: Json) -> Json:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        return tool
    known = {"name": "name", "description": "description", "parameters": "input_schema"}
    return {ours: function[key] for key, ours in known.items() if key in function}


def _to_anthropic_choice(choice: Json) -> Json:
    if isinstance(choice, str):
        return {"type": _TOOL_CHOICES.get(choice, choice)}
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if not isinstance(function, Mapping):
        return choice
    return {"type": "tool", "name": function["name"], "disable_parallel_tool_use": True}


def to_openai_reply(reply: Json) -> Json:
    """Return a message of Anthropic as a chat completion of OpenAI; return anything else unchanged."""
    blocks = reply.get("content") if isinstance(reply, Mapping) else None
    if not isinstance(reply, Mapping) or not isinstance(blocks, list):
        return reply
    if not all(map(_is_readable, blocks)):
        return reply
    # Without the model's thinking.
    text = "".join(block["text"] for block in blocks if block.get("type") == "text")
    calls = [*_iter_calls(blocks)]
    message: dict[str, Json] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    reason = reply.get("stop_reason")
    if reason == "refusal":
        # What was said until then is no answer, and a schema does not hold for it.
        details = reply.get("stop_details")
        explanation = details.get("explanation") if isinstance(details, Mapping) else None
        message = {"role": "assistant", "content": None, "refusal": text or explanation}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": FINISH_REASONS.get(reason, reason) if isinstance(reason, str) else reason,
    }
    kept = {key: reply[key] for key in ("model", "usage", "error", "errors") if key in reply}
    return {"choices": [choice], **kept}


def _is_readable(block: Json) -> bool:
    if not isinstance(block, Mapping):
        return False
    return block.get("type") != "text" or isinstance(block.get("text"), str)


def _iter_calls(blocks: Sequence[Json]) -> Iterator[Json]:
    for block in blocks:
        if block.get("type") == "tool_use":
            arguments = json.dumps(block.get("input"))
            function = {"name": block.get("name"), "arguments": arguments}
            yield {"id": block.get("id"), "type": "function", "function": function}
