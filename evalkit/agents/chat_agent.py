"""Call a chat model as an agent: a system prompt, the conversation, and one reply, at any endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from evalkit.agents.chat_content import NO_ANSWER_FINISHES
from evalkit.agents.completion import (
    ChatCompletion,
    count_tokens,
    keep_token_counts,
    parse_tool_calls,
)
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.openai_client import (
    ChatClient,
    ChatRequestError,
)
from evalkit.agents.placeholders import to_messages
from evalkit.agents.refused_fields import (
    LENGTH_KEY,
    find_refused_names,
    is_newer_length_wanted,
    rename_length,
)
from evalkit.agents.reply import bad_reply_error, to_output
from evalkit.core.literals import Json
from evalkit.core.prices import load_known_prices, look_up_cost_usd
from evalkit.core.trial import AgentError, Output, Request


class ChatAgentArguments(Protocol):
    """The arguments of an agent that is a chat model."""

    @property
    def model(self) -> str:
        """The name of the model."""

    @property
    def system(self) -> str | None:
        """The system prompt; None for none."""

    @property
    def base_url(self) -> str | None:
        """The address that the eval set gives; None for the default one."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of each request, with variables."""

    @property
    def extra(self) -> Mapping[str, Json]:
        """Fields that are added to the body of each request."""

    @property
    def request_body(self) -> Mapping[str, Json]:
        """The body of a request without model and messages."""

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""


class ChatAgent:
    """Calls the model once for every request, with the system prompt before the conversation."""

    def __init__(self, arguments: ChatAgentArguments, client: ChatClient) -> None:
        self._arguments = arguments
        self._client = client
        self._body = arguments.request_body
        # While the first calls wait for their answers, because loading is slow.
        self._prices = asyncio.ensure_future(asyncio.to_thread(load_known_prices))

    async def answer(self, request: Request) -> Output:
        """Call the model once; the deadline applies to the whole exchange.

        A refused `max_tokens` is sent under its newer name at once, and for the rest of the run.
        """
        messages = to_messages(request.messages)
        if self._arguments.system is not None:
            messages.insert(0, {"role": "system", "content": self._arguments.system})
        started = time.monotonic()
        while True:
            body = self._body
            left_s = request.timeout_s - (time.monotonic() - started)
            try:
                completion = await self._client.complete(messages, body, max(left_s, 0.001))
            except ChatRequestError as failed:
                if self._rename_length(failed, body):
                    continue
                error = _explain_refusal(failed, body, self._client.key_variable)
                return Output(error=error, latency_s=time.monotonic() - started)
            latency_s = time.monotonic() - started
            await asyncio.shield(self._prices)
            return self._to_output(completion, latency_s)

    def _rename_length(self, failed: ChatRequestError, sent: Mapping[str, Json]) -> bool:
        """Rename `max_tokens` if the endpoint asks for it; return whether another request would differ."""
        if not is_newer_length_wanted(failed.said) or LENGTH_KEY not in sent:
            return False
        if LENGTH_KEY in self._body:
            self._body = rename_length(self._body)
        return True

    def _to_output(self, completion: ChatCompletion, latency_s: float) -> Output:
        """Return the first choice as an Output; a refusal is an answer, and so is a tool call."""
        choice = completion.choices[0]
        reason = choice.finish_reason
        text = choice.refusal if choice.text is None else choice.text or choice.refusal or ""
        calls = parse_tool_calls(choice.tool_calls)
        if error := self._find_error(completion, text, has_calls=bool(calls)):
            return Output(error=error, latency_s=latency_s)
        # Without the reply's `id` and `created`, which differ even for equal answers.
        metadata = {
            "model": completion.model,
            "system_fingerprint": completion.fingerprint,
            "finish_reason": reason,
        }
        reply = {
            "output": text or "",
            "tool_calls": calls,
            "usage": keep_token_counts(completion.usage) or None,
            "cost_usd": self._find_cost_usd(completion),
            "metadata": {key: value for key, value in metadata.items() if value},
        }
        output = to_output(reply, latency_s)
        flags = (*output.flags, *completion.flags)
        return replace(output, first_token_s=completion.first_token_s, flags=flags)

    def _find_cost_usd(self, completion: ChatCompletion) -> float | None:
        """Return the cost that the endpoint reports, or the known price of the tokens.

        The served model comes first, which may be a snapshot with its own price.
        """
        usage = count_tokens(completion.usage)
        if usage.reported_cost_usd is not None or not usage.input_tokens:
            return usage.reported_cost_usd
        models = dict.fromkeys((completion.model, self._arguments.model))
        costs = (look_up_cost_usd(model, usage) for model in models)
        return next((cost for cost in costs if cost is not None), None)

    def _find_error(
        self, completion: ChatCompletion, text: str | None, *, has_calls: bool
    ) -> AgentError | None:
        """Return why a completion is not an answer, or None if it is one."""
        choice = completion.choices[0]
        server, source = self._client.server, completion.source
        reason = f"finish_reason {choice.finish_reason!r}"
        if completion.error:
            return self._client.to_error(completion.error, source)
        if choice.finish == "failed":
            message = f"{server} stopped in the middle of the answer ({reason})."
            return replace(bad_reply_error(message, source), retryable=True)
        if has_calls or text:
            return None
        if text is None or choice.finish in NO_ANSWER_FINISHES:
            how = "without text"
        elif choice.reasoning:
            how = "after its reasoning, without an answer"
        else:
            return None
        message = f"{server} sent no answer: the model stopped {how} ({reason})."
        return bad_reply_error(message, source)


def _explain_refusal(
    failed: ChatRequestError, sent: Mapping[str, Json], key_variable: str
) -> AgentError:
    """Return the error of a failed call, with what the user may have to change in the agent's arguments."""
    error = failed.error
    if error.kind != "bad_request":
        return error
    refused = find_refused_names(failed.said, sent, tuple(sent))
    if not refused:
        # Proxies answer a wrong key and an unknown model with 400, as they do a refused parameter.
        return replace(
            error,
            message=f"{error.message} Check 'model', 'base_url', and the key in {key_variable}.",
        )
    keys = ", ".join(map(repr, refused))
    return replace(
        error, message=f"{error.message} Change or remove {keys} in the agent's arguments."
    )
