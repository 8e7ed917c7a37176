"""The arguments of an `http` agent: what is sent, and where the answer is in a reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.agents.arguments import convert_arguments
from evalkit.agents.model_replies import find_parts
from evalkit.agents.network_errors import get_host
from evalkit.agents.placeholders import get_at_path
from evalkit.agents.stream_fields import StreamFields
from evalkit.agents.stream_formats import FORMATS
from evalkit.agents.stream_reply import StreamArgument, split_answer
from evalkit.core.literals import Json
from evalkit.worker.user_code import suggest_near_name

REPLY_PARTS = ("output", "data", "tool_calls", "usage", "cost_usd", "finish_reason")
DEFAULT_BODY = {"input": "{input}", "messages": "{messages}"}
SESSION_PLACEHOLDER = "{session}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionArguments:
    """The mapping under `session`; text in its place is `reply`.

    The id that the server issues is at the path `reply` in the JSON of a reply, or in the header
    `header`. With `cookies`, later turns send the cookies that the server has set, and there is no id.
    `start` is a URL that is called before the first turn, by POST with an empty object, and issues the id.
    """

    reply: str | None = None
    header: str | None = None
    cookies: bool = False
    start: str | None = None

    def find_problems(self) -> Iterator[str]:
        """Yield what is wrong with the mapping."""
        if sum((self.reply is not None, self.header is not None, self.cookies)) != 1:
            yield (
                "'session' needs one of 'reply' (the path of the id in a reply), 'header' (its name) and "
                "'cookies: true'."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpArguments:
    """The arguments under `http:`; a URL in their place is `url`.

    `${NAME}` in `url` and `headers` is an environment variable. `url`, after the host, and the texts
    of `body` may have placeholders. `output` and the fields after it are dotted paths into the JSON
    reply; with `text` the whole body is the answer. `stream` is the name of a format in
    `stream_formats.FORMATS`, or a mapping that becomes `StreamFields`. `session` becomes
    `SessionArguments`. `otlp_port` is the loopback port to which the agent's OpenTelemetry exporter sends
    its spans; each answer waits for its spans.
    """

    url: str
    method: Literal["POST", "GET", "PUT", "PATCH"] = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    text: bool = False
    output: str | None = None
    data: str | None = None
    tool_calls: str | None = None
    usage: str | None = None
    cost_usd: str | None = None
    finish_reason: str | None = None
    stream: str | Mapping[str, Json] | None = None
    session: str | Mapping[str, Json] | None = None
    otlp_port: int | None = None

    @property
    def body_template(self) -> Json:
        """The template of the body; without `body`, the default template, or None for GET."""
        return DEFAULT_BODY if self.body is None and self.method != "GET" else self.body

    @property
    def server(self) -> str:
        """The host, for messages: without user and password, variables not expanded."""
        return get_host(self.url)

    @property
    def paths(self) -> Mapping[str, str]:
        """The paths of the parts of a reply, as far as they are given."""
        given = {name: getattr(self, name) for name in REPLY_PARTS}
        return {name: path for name, path in given.items() if path is not None}

    @property
    def session_headers(self) -> Mapping[str, str]:
        """The headers that send the session id."""
        return {name: value for name, value in self.headers.items() if SESSION_PLACEHOLDER in value}

    def read_stream_argument(self) -> tuple[StreamArgument, list[str]]:
        """Return `stream` as the name of a format or as fields, and the problems with it."""
        if isinstance(self.stream, str):
            if self.stream in FORMATS:
                return self.stream, []
            advice = suggest_near_name(self.stream, FORMATS) or f" Known: {', '.join(FORMATS)}."
            message = f"{self.stream!r} is no format of a stream.{advice}"
            return None, [f"{message} For another one, write: stream: {{delta: PATH}}"]
        return _read_mapping("stream", self.stream, StreamFields, "delta")

    def read_session_argument(self) -> tuple[SessionArguments | None, list[str]]:
        """Return `session` as a record, and the problems with it."""
        return _read_mapping("session", self.session, SessionArguments, "reply")

    def extract(self, reply: Json) -> Json:
        """Return the parts at the paths as the mapping that any agent may return.

        Without `output` the whole reply is returned. With it, `output` must lead to a value. The last
        name of any other path may be missing, because servers omit empty values; the value that should
        contain it must exist. Parts without a path are found where common APIs have them.

        Raises:
            LookupError: a path has no value; the text is the path up to the missing part.
        """
        if self.output is None:
            return reply
        answer = get_at_path(reply, self.output)
        if answer is None:
            raise LookupError(self.output)
        others = {name: path for name, path in self.paths.items() if name != "output"}
        return {
            **find_parts(reply),
            **split_answer(answer),
            **{name: _get_optional(reply, path) for name, path in others.items()},
        }


def _get_optional(reply: Json, path: str) -> Json:
    parent, _, name = path.rpartition(".")
    container = get_at_path(reply, parent) if parent else reply
    try:
        return get_at_path(container, name)
    except LookupError:
        return None


def _read_mapping(
    name: str, given: str | Mapping[str, Json] | None, shape: Callable[..., Any], shorthand: str
) -> tuple[Any, list[str]]:
    """Return the mapping of an argument as `shape`, a record with `find_problems`, and the problems."""
    if given is None:
        return None, []
    mapping = {shorthand: given} if isinstance(given, str) else given
    record, messages = convert_arguments(mapping, shape, shorthand=shorthand)
    if record is None:
        return None, [f"{name}: {message}" for message in messages]
    problems = list(record.find_problems())
    return (None, problems) if problems else (record, [])
