"""Turn received spans, in the names of any library, into rows of the table spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.core.literals import Json
from evalkit.core.prices import TokenCounts
from evalkit.core.spans import Span
from evalkit.trace import conventions as names
from evalkit.trace.flat_messages import read_flat_messages
from evalkit.trace.normalizer import normalize_span
from evalkit.trace.otlp_json import ReceivedSpan
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.columns import Row
from evalkit.traffic.field_values import as_flag, as_number, as_share, as_user
from evalkit.traffic.known_prices import KnownPrices
from evalkit.traffic.message_text import find_answer_text, find_user_text

_FLAT_PREFIXES = (
    "llm.input_messages.",
    "llm.output_messages.",
    "gen_ai.prompt.",
    "gen_ai.completion.",
)


_TEXT_ALIASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("environment", names.ENVIRONMENTS),
    ("variant", names.VARIANTS),
)
_FLAG_ALIASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("escalated", names.ESCALATIONS),
    ("resolved", names.RESOLUTIONS),
)


class SpanRows:
    """Builds the rows of spans of one source; it remembers prices and the last resource."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._prices = KnownPrices()
        self._resource: Mapping[str, Json] = {}
        self._common: Row = {}

    def build(self, received: ReceivedSpan, *, has_texts: bool = False) -> Row | None:
        """Return the row of a span; None for a span that only reports on a framework or a start.

        The texts of its messages are read of models, agents, and roots, or if it `has_texts`.
        """
        payload = received.payload
        given = payload["attributes"]
        if (
            payload["scope"] in names.IGNORED_SCOPES
            or given.get("logfire.span_type") == "pending_span"
        ):
            return None
        span = normalize_span(payload, payload["start_ns"], payload["parent"])
        failed = span.error or span.error_type
        row: Row = {
            "request_id": f"{self._source}:{received.trace_id}",
            "span_id": span.id,
            "kind": span.kind,
            "name": span.name,
            "start_ns": payload["start_ns"],
            "status": "error" if failed else "ok" if received.has_status else "unset",
            "source": self._source,
            **self._read_resource(received.resource),
        }
        if not received.is_open:
            row["end_ns"] = payload["end_ns"]
        if span.parent_id:
            row["parent_id"] = span.parent_id
        if received.has_remote_parent:
            row["remote_parent"] = True
        for field, value in (
            ("error_type", span.error_type),
            ("error_text", span.error),
            ("model", span.model),
            ("tool", span.tool),
        ):
            if value:
                row[field] = value
        attributes = dict(span.attributes)
        is_root = not span.parent_id or received.has_remote_parent
        has_texts = has_texts or is_root or span.kind in ("agent", "model")
        self._add_texts(row, span, attributes, has_texts=has_texts)
        self._add_usage(row, span, attributes)
        self._add_context(row, span, attributes)
        seconds = _read_first_token(attributes, received)
        if seconds is not None:
            row["ttft_ms"] = seconds * 1e3
        if attributes:
            row["attributes"] = attributes
        return row

    def _add_texts(
        self, row: Row, span: Span, attributes: dict[str, Json], *, has_texts: bool
    ) -> None:
        asked, answered = span.arguments, span.result
        flat = [name for name in attributes if name.startswith(_FLAT_PREFIXES)]
        if flat:
            questions, answers = read_flat_messages(attributes)
            # Of a model, the messages say more than what the library calls its input.
            asked, answered = questions or asked, answered if answered is not None else answers
            for name in flat:
                if name.endswith((".role", ".content", ".text")):
                    del attributes[name]
        if asked not in (None, "", []):
            row["arguments"] = asked
        if answered not in (None, "", []):
            row["result"] = answered
        if has_texts:
            question, answer = find_user_text(asked), find_answer_text(answered)
            question = question or find_user_text(_first(names.CONVERSATIONS, attributes))
            if question:
                row["input"] = question
            if answer:
                row["output"] = answer

    def _add_usage(self, row: Row, span: Span, attributes: Mapping[str, Json]) -> None:
        if (span.input_tokens, span.output_tokens, span.cost_usd) == (None, None, None):
            return
        cached = as_number(_first(names.CACHED_TOKENS, attributes))
        row["input_tokens"], row["output_tokens"] = span.input_tokens, span.output_tokens
        if cached is not None:
            row["cached_tokens"] = int(cached)
        cost_usd, origin = span.cost_usd, "source"
        if cost_usd is None and span.kind == "model" and span.model:
            tokens = TokenCounts(
                input_tokens=span.input_tokens or 0,
                output_tokens=span.output_tokens or 0,
                cached_tokens=int(cached or 0),
            )
            seller = str(_first(names.PROVIDERS, attributes) or "")
            cost_usd = self._prices.find_cost_usd(span.model, seller, tokens)
            origin = "computed"
        row["cost_from"] = "none" if cost_usd is None else origin
        if cost_usd is not None:
            row["cost_usd"] = cost_usd

    def _add_context(self, row: Row, span: Span, attributes: dict[str, Json]) -> None:
        metadata = parse_value(attributes.get("metadata"))
        meta = (
            {f"metadata.{key}": value for key, value in metadata.items()}
            if isinstance(metadata, Mapping)
            else {}
        )
        user = as_user(span.user_id or _first(names.USERS, attributes, meta))
        session = as_user(span.session_id or _first(names.SESSIONS, attributes, meta))
        row |= {} if user is None else {"user": user}
        row |= {} if session is None else {"session": session}
        row |= _read_context(attributes, meta, known=row)

    def _read_resource(self, resource: Mapping[str, Json]) -> Row:
        if resource is not self._resource:
            self._resource, self._common = resource, _read_context(resource, {}, known={})
            user = as_user(_first(names.FIELD_ALIASES["user_id"], resource))
            session = as_user(_first(names.FIELD_ALIASES["session_id"], resource))
            self._common |= {} if user is None else {"user": user}
            self._common |= {} if session is None else {"session": session}
        return self._common


def _read_context(
    attributes: Mapping[str, Json], meta: Mapping[str, Json], *, known: Mapping[str, Any]
) -> Row:
    """Return what attributes say of the version, the deployment, and the outcome of a request."""
    row: Row = {}
    # What the resource says of the version takes precedence, except evalkit's own name.
    if "version" not in known or "evalkit.version" in attributes:
        for name, value in _pairs(names.VERSIONS, attributes, meta):
            row["version"], row["version_from"] = str(value), name
            break
    for field, aliases in _TEXT_ALIASES:
        value = _first(aliases, attributes, meta)
        if value is not None:
            row[field] = str(value)
    for field, aliases in _FLAG_ALIASES:
        flag = as_flag(_first(aliases, attributes, meta))
        if flag is not None:
            row[field] = flag
    share = as_share(_first(names.SAMPLING_SHARES, attributes, meta))
    if share is not None:
        row["sampling_p"] = share
    return row


def _pairs(aliases: Sequence[str], *attributes: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for name in aliases:
        for each in attributes:
            value = each.get(name)
            if value not in (None, ""):
                yield name, value


def _first(aliases: Sequence[str], *attributes: Mapping[str, Json]) -> Json:
    for each in attributes:
        for name in aliases:
            if name in each and each[name] not in (None, ""):
                return each[name]
    return None


def _read_first_token(attributes: Mapping[str, Json], received: ReceivedSpan) -> float | None:
    """Return the seconds from the start of a span to its first token; None if unknown."""
    seconds = as_number(_first(names.FIRST_TOKEN_SECONDS, attributes))
    if seconds is not None:
        return seconds
    milliseconds = as_number(_first(names.FIRST_TOKEN_MS, attributes))
    if milliseconds is not None:
        return milliseconds / 1e3
    start_ns = received.payload["start_ns"]
    times = [event.time_ns for event in received.events if event.name in names.FIRST_TOKEN_EVENTS]
    return (times[0] - start_ns) / 1e9 if times and times[0] >= start_ns else None
