"""Turn the reply of an HTTP agent into an Output: JSON, text, or a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.cookies import Morsel

from evalkit.agents.http_arguments import HttpArguments
from evalkit.agents.json_fields import iter_objects
from evalkit.agents.network_errors import status_error
from evalkit.agents.reply import bad_reply_error, to_output
from evalkit.agents.reply_body import ReplyBody
from evalkit.agents.reply_text import (
    NotJson,
    decode_json,
    decode_text,
    find_title,
    is_markup,
    read_json,
    redact,
    redact_json,
)
from evalkit.agents.server_events import DONE, ServerEvent, is_json, is_stream_type
from evalkit.agents.stream_fields import BadStream, StreamFields
from evalkit.agents.stream_formats import FORMATS
from evalkit.agents.stream_reply import (
    StreamArgument,
    StreamedReply,
    StreamFailed,
    describe_stream,
    read_stream,
)
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line
from evalkit.core.trial import AgentError, Output

SHOWN_TITLE_CHARS = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpReply:
    """A reply as it was received."""

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[Morsel[str]]
    body: ReplyBody

    def list_values(self) -> list[Json]:
        """Return the JSON value of the body, or those of its events; nothing if it is not JSON."""
        if self.body.events is not None:
            return [event.value for event in self.body.events]
        try:
            return [read_json(decode_json(self.body.data, self.body.charset)[0])]
        except NotJson:
            return []


class ReplyReader:
    """Reads the replies of one server by the arguments of an eval set; `secrets` are removed."""

    def __init__(
        self, arguments: HttpArguments, stream: StreamArgument, secrets: Iterable[str]
    ) -> None:
        self._arguments = arguments
        self._stream = stream
        self._secrets = list(secrets)
        self._server = arguments.server

    def read(self, received: HttpReply) -> Output:
        """Return the answer in a reply, or the error that the reply is."""
        body = received.body
        data, redacted = redact(body.data, self._secrets)
        if not 200 <= received.status < 300:
            text, _ = decode_json(data, body.charset)
            error = status_error(received.status, received.headers, self._server, text)
            return Output(error=error, latency_s=body.received_s)
        if self._is_stream(body):
            return self._read_events(body, data)
        if self._arguments.text:
            text, decoded = decode_text(data, body.charset or "utf-8")
            output = Output(text=text, latency_s=body.received_s)
        else:
            text, decoded = decode_json(data, body.charset)
            output = self._read_value(text, body.media_type, body.received_s)
        return replace(output, flags=(*output.flags, *redacted, *decoded))

    def _read_value(self, text: str, media_type: str, latency_s: float) -> Output:
        try:
            value = read_json(text)
            if streamed := self._read_list(value):
                return to_output(streamed.reply, latency_s)
            return to_output(self._arguments.extract(value), latency_s)
        except NotJson as wrong:
            message = f"{self._server} sent {describe_body(text, media_type, wrong)}."
            if text.strip() and not is_markup(text):
                message += " If the answer is plain text, set text: true."
        except (BadStream, StreamFailed) as wrong:
            message = f"{self._server} sent a list {wrong}."
        except LookupError as missing:
            path = str(missing.args[0])
            message = f"the reply has no value at {path!r}. Fix the path or the agent."
        return Output(error=bad_reply_error(message, text), latency_s=latency_s)

    def _read_list(self, value: Json) -> StreamedReply | None:
        """Return the answer in a list of events: Gemini's stream without `alt=sse` is one JSON list."""
        items = list(iter_objects(value))
        if self._arguments.output is not None or not any(map(FORMATS["gemini"].matches, items)):
            return None
        events = [
            ServerEvent(name="", data=json.dumps(item), value=item, received_s=0.0)
            for item in items
        ]
        return read_stream(events, "gemini", {})

    def _is_stream(self, body: ReplyBody) -> bool:
        if body.events is None or (self._arguments.text and not is_stream_type(body.media_type)):
            return False
        # One JSON value on several lines is no stream, whatever the content type says.
        is_cut = any(event.value is event.data for event in body.events if event.data != DONE)
        return not is_cut or not is_json(body.data)

    def _read_events(self, body: ReplyBody, data: bytes) -> Output:
        events, latency_s = body.events or (), body.received_s
        text, _ = decode_text(data)
        decoded = dict.fromkeys(flag for event in events for flag in event.flags)
        error: AgentError | None
        try:
            found = read_stream(events, self._choose_stream(events), self._arguments.paths)
            reply, redacted = redact_json(found.reply, self._secrets)
            output = to_output(reply, latency_s)
            flags = (*output.flags, *redacted, *decoded)
            return replace(output, first_token_s=found.first_token_s, flags=flags)
        except StreamFailed as failed:
            error = failed.to_error(self._server)
        except BadStream as bad:
            if (
                self._arguments.text
                and self._stream is None
                and "event-stream" not in body.media_type
            ):
                return Output(text=text, latency_s=latency_s, flags=tuple(decoded))
            shown = [
                replace(event, data=redact_json(event.data, self._secrets)[0])
                for event in events[:3]
            ]
            what = describe_stream(body.media_type, len(events), shown)
            error = bad_reply_error(f"{self._server} sent {what} {bad}.", text)
        return Output(error=error, latency_s=latency_s)

    def _choose_stream(self, events: Iterable[ServerEvent]) -> StreamArgument:
        if self._stream is None and self._arguments.text:
            has_object = any(isinstance(event.value, Mapping) for event in events)
            return None if has_object else StreamFields(delta="")
        return self._stream


def describe_body(text: str, media_type: str, wrong: NotJson) -> str:
    """Return what a body is that should be JSON, with its content type, for a message."""
    kind = media_type or "a reply without a content type"
    if not text.strip():
        return f"an empty body ({kind}), not JSON"
    if is_markup(text):
        title = one_line(find_title(text), SHOWN_TITLE_CHARS)
        return f"{kind} ({f'a page titled {title!r}' if title else 'HTML or XML'}), not JSON"
    return f"{kind} with {wrong}" if "json" in kind else f"{kind}, not JSON"
