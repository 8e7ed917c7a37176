"""Call a Python agent in the worker with a request from JSON, and check its reply."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from evalkit.worker.pieces import StreamedValue, join_yields, yields_asynchronously
from evalkit.worker.user_code import (
    BadReply,
    CallArguments,
    LoadFailure,
    accepts,
    is_async,
    read_signature,
    run_user_code,
)

_CONTEXT_KEYS = ("case_id", "trial", "seed", "metadata", "messages")


def _with_prompt(prompt: object, _context: object) -> CallArguments:
    return (prompt,), {}


def _with_named_context(prompt: object, context: object) -> CallArguments:
    return (prompt,), {"context": context}


def _with_both(prompt: object, context: object) -> CallArguments:
    return (prompt, context), {}


def _choose_layout(function: Callable[..., object]) -> Callable[..., CallArguments]:
    """Return the first layout of arguments that the function accepts."""
    signature = read_signature(function)
    if signature is None:
        return _with_prompt
    # First, because a function whose `context` has a default would also accept the prompt alone.
    layouts: list[Callable[..., CallArguments]] = [_with_prompt, _with_both]
    if "context" in signature.parameters:
        layouts.insert(0, _with_named_context)
    for layout in layouts:
        if accepts(signature, layout("", {})):
            return layout
    raise LoadFailure(
        f"it cannot be called as (prompt) or (prompt, context): its parameters are {signature}."
    )


class AgentTarget:
    """An entrypoint and the arguments it is called with.

    The entrypoint is a function, an object with `__call__`, or a class of such objects, which is
    instantiated once. It may yield the answer in pieces. It gets the prompt: text, or the list of messages of a conversation. A second
    parameter without a default, or one called `context`, gets a mapping of case_id, trial, seed,
    metadata and messages.
    """

    def __init__(self, found: object) -> None:
        if inspect.isclass(found):
            found = run_user_code(found)
        if not callable(found):
            raise LoadFailure(f"it is {type(found).__name__!r}, which cannot be called.")
        self.is_async = is_async(found) or yields_asynchronously(found)
        self.function: Callable[..., object] = join_yields(found, is_async=self.is_async)
        self._lay_out = _choose_layout(found)
        signature = read_signature(found)
        self.description = {
            "is_async": self.is_async,
            "parameters": list(signature.parameters) if signature else [],
        }

    def read_payload(self, payload: Mapping[str, Any]) -> CallArguments:
        """Return one request as the entrypoint's positional and named arguments."""
        prompt = payload["messages"] if payload["is_conversation"] else payload["text"]
        return self._lay_out(prompt, {key: payload[key] for key in _CONTEXT_KEYS})

    def to_json(self, value: object) -> object:
        """Return text or a mapping as it is, and a streamed value as its reply; the parent checks mappings.

        Raises:
            BadReply: the value is neither text nor a mapping.
        """
        if isinstance(value, StreamedValue):
            return value.to_reply(self.to_json)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return dict(value)
        kind = "None" if value is None else f"an object of type {type(value).__name__!r}"
        raise BadReply(f"the agent returned {kind}. Return text, or a mapping with `output`.")
