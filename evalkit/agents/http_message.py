"""JSON bodies of HTTP agents: a template and a request into what is sent, what came back into an Output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from evalkit.agents.completion import parse_tool_calls, parse_usage
from evalkit.agents.placeholders import fill_value, get_at_path, parse_template
from evalkit.agents.reply import to_output
from evalkit.core.limits import MAX_DETAIL_CHARS
from evalkit.core.literals import Json
from evalkit.core.safe_text import head
from evalkit.core.trial import AgentError, Output, Request


def iter_texts(body: Json) -> Iterator[str]:
    """Every text of a body, in which placeholders may stand; keys are no templates."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from iter_texts(value)
    elif isinstance(body, list):
        for value in body:
            yield from iter_texts(value)


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

    def extract(self, reply: Json) -> Json:
        """Put the parts together as the mapping that any agent may return.

        `output` has to be there. Of the others the last name of the path may be missing, as servers
        leave out what is empty; what it should stand in has to be there.

        Raises:
            LookupError: the part of a path that leads nowhere.
        """
        if self.output is None:
            return reply
        answer = get_at_path(reply, self.output)
        if answer is None:
            raise LookupError(self.output)
        picked = {"data": None if isinstance(answer, str) else answer}
        picked["output"] = answer if isinstance(answer, str) else json.dumps(answer)
        if self.data is not None:
            picked["data"] = _get_optional(reply, self.data)
        if self.tool_calls is not None:
            picked["tool_calls"] = parse_tool_calls(_get_optional(reply, self.tool_calls))
        if self.usage is not None:
            picked["usage"] = parse_usage(_get_optional(reply, self.usage))
        if self.cost_usd is not None:
            picked["cost_usd"] = _get_optional(reply, self.cost_usd)
        return picked

    def parse_reply(self, reply: Json, latency_s: float) -> Output:
        """Make a reply an Output, or its error `bad_reply`."""
        try:
            return to_output(self.extract(reply), latency_s)
        except LookupError as missing:
            message = f"the reply has nothing at {str(missing.args[0])!r}. Correct the path, or the agent."
            detail = head(json.dumps(reply, ensure_ascii=False), MAX_DETAIL_CHARS)
            error = AgentError(kind="bad_reply", message=message, detail=detail)
            return Output(error=error, latency_s=latency_s)


def _get_optional(reply: Json, path: str) -> Json:
    parent, _, name = path.rpartition(".")
    container = get_at_path(reply, parent) if parent else reply
    try:
        return get_at_path(container, name)
    except LookupError:
        return None


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_SECRET_HEADER = re.compile(r"auth|cookie|key|secret|token", re.IGNORECASE)

MIN_HEADER_SECRET_LENGTH = 8
"""What is shorter is no key, and blanking it out could spoil an honest answer."""


def find_variables(texts: Iterable[str]) -> list[str]:
    """The names of the environment variables that texts ask for as `${NAME}`."""
    return [name for text in texts for name in _VARIABLE.findall(text)]


def expand_variables(text: str, environ: Mapping[str, str]) -> str:
    """Put in environment variables; `find_unset` tells those that are not set."""
    return _VARIABLE.sub(lambda match: environ.get(match[1], ""), text)


def strip_variables(text: str) -> str:
    """A text for messages, in which no variable is looked up."""
    return _VARIABLE.sub("", text)


def find_unset_variables(texts: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """A message for each variable that is asked for and not set."""
    for name in dict.fromkeys(find_variables(texts)):
        if name not in environ:
            yield f"environment variable {name!r} is not set. Set it, or take '${{{name}}}' out."


def find_header_problems(headers: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """A message for each header that cannot be sent."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield f"{name!r} is no name of a header."
        if not _HEADER_VALUE.fullmatch(expand_variables(value, environ)):
            yield f"the value of header {name!r} has a line break or control character in it."


def find_header_secrets(headers: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The values of variables in headers whose names speak of secrets."""
    names = find_variables(value for name, value in headers.items() if _SECRET_HEADER.search(name))
    return [environ[name] for name in names if len(environ[name]) >= MIN_HEADER_SECRET_LENGTH]
