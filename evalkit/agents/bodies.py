"""JSON bodies of HTTP agents: a template and a request into what is sent, what came back into an Output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.agents.chat import tool_calls_of, usage_of
from evalkit.agents.replies import to_output
from evalkit.agents.templates import fill_value, parse_template, value_at
from evalkit.caps import MAX_DETAIL
from evalkit.records import AgentError, Json, Output, Request
from evalkit.text import head


def texts_in(body: Json) -> Iterator[str]:
    """Every text of a body, in which placeholders may stand; keys are no templates."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from texts_in(value)
    elif isinstance(body, list):
        for value in body:
            yield from texts_in(value)


def fill_body(body: Json, request: Request) -> Json:
    """Fill in every text of a body; one that is a placeholder and no more becomes its JSON value."""
    if isinstance(body, str):
        return fill_value(parse_template(body), request)
    if isinstance(body, Mapping):
        return {key: fill_body(value, request) for key, value in body.items()}
    if isinstance(body, list):
        return [fill_body(value, request) for value in body]
    return body


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyPaths:
    """Where in a reply the parts of an Output are, as dotted paths.

    Without `output` the whole reply is text or the mapping that any agent may return.
    """

    output: str | None = None
    data: str | None = None
    tool_calls: str | None = None
    usage: str | None = None
    cost_usd: str | None = None

    def pick(self, reply: Json) -> Json:
        """Put the parts together as the mapping that any agent may return.

        `output` has to be there. Of the others the last name of the path may be missing, as servers
        leave out what is empty; what it should stand in has to be there.

        Raises:
            LookupError: the part of a path that leads nowhere.
        """
        if self.output is None:
            return reply
        answer = value_at(reply, self.output)
        if answer is None:
            raise LookupError(self.output)
        picked = {"data": None if isinstance(answer, str) else answer}
        picked["output"] = answer if isinstance(answer, str) else json.dumps(answer)
        if self.data is not None:
            picked["data"] = _optional_at(reply, self.data)
        if self.tool_calls is not None:
            picked["tool_calls"] = tool_calls_of(_optional_at(reply, self.tool_calls))
        if self.usage is not None:
            picked["usage"] = usage_of(_optional_at(reply, self.usage))
        if self.cost_usd is not None:
            picked["cost_usd"] = _optional_at(reply, self.cost_usd)
        return picked

    def read(self, reply: Json, latency_s: float) -> Output:
        """Make a reply an Output, or its error `bad_reply`."""
        try:
            return to_output(self.pick(reply), latency_s)
        except LookupError as missing:
            message = f"the reply has nothing at {str(missing.args[0])!r}. Correct the path, or the agent."
            detail = head(json.dumps(reply, ensure_ascii=False), MAX_DETAIL)
            error = AgentError(kind="bad_reply", message=message, detail=detail)
            return Output(error=error, latency_s=latency_s)


def _optional_at(reply: Json, path: str) -> Json:
    parent, _, name = path.rpartition(".")
    container = value_at(reply, parent) if parent else reply
    try:
        return value_at(container, name)
    except LookupError:
        return None
