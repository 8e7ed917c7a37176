"""Turn span payloads, in the attribute names of any library, into evalkit's `Span` records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.core.literals import Json
from evalkit.core.spans import Span, SpanKind
from evalkit.core.trial import Output
from evalkit.trace.conventions import (
    AGENT_SCOPES,
    FIELD_ALIASES,
    IGNORED_SCOPES,
    KIND_ALIASES,
    KIND_ATTRIBUTES,
    NO_CALLS,
    TEMPLATE_ATTRIBUTE,
    TEMPLATES,
    TOOL_PARAMETERS,
)
from evalkit.trace.events import CAUGHT_MESSAGE, CAUGHT_TYPE
from evalkit.trace.recording import SpanPayload
from evalkit.trace.repeated_calls import merge_repeated_calls
from evalkit.trace.requested_calls import fill_requested_arguments
from evalkit.trace.tool_data import (
    find_error_text,
    find_handled_error,
    parse_value,
    read_result,
    unwrap_arguments,
)
from evalkit.trace.warnings import SPANS_CUT, SPANS_DROPPED


def add_spans(
    output: Output,
    payloads: Sequence[SpanPayload],
    *,
    start_ns: int,
    root: str = "",
    counts: Mapping[str, int],
) -> Output:
    """Return the output with the spans of its trial, and a flag for each count that is not 0."""
    flags = (f"{name}={count}" for name, count in counts.items() if count)
    spans = normalize_spans(payloads, start_ns=start_ns, root=root)
    return replace(output, spans=spans, flags=(*output.flags, *flags))


def add_worker_spans(output: Output, sent: Json) -> Output:
    """Return the output with the spans that a worker process sent: its recording as JSON, or None."""
    if not sent:
        return output
    counts = {SPANS_DROPPED: sent["dropped"], SPANS_CUT: sent["cut"]}
    return add_spans(output, sent["spans"], start_ns=sent["start_ns"], counts=counts)


def normalize_spans(
    payloads: Sequence[SpanPayload], *, start_ns: int, root: str = ""
) -> tuple[Span, ...]:
    """Return the spans of one trial, ordered by start.

    `start_ns` is when the trial began; `root` is the id of the trial itself, the parent of its
    outermost spans. A span whose parent did not arrive becomes an outermost span. A call that several
    instrumentations saw is one span of its kind.
    """
    # A span that was sent twice counts once. Usage statistics of a framework are no steps.
    by_id = {
        payload["id"]: payload
        for payload in payloads
        if payload.get("scope") not in IGNORED_SCOPES
        and payload["attributes"].get("logfire.span_type") != "pending_span"
    }
    # The clock of an agent on another host may lag; no span may start before its trial.
    zero_ns = min([start_ns, *(payload["start_ns"] for payload in payloads)])
    # Of spans that start together, the longer one is the parent.
    ordered = sorted(by_id.values(), key=lambda each: (each["start_ns"], -each["end_ns"]))
    spans = []
    for payload in ordered:
        parent = payload["parent"]
        is_inside = parent in by_id and parent not in (root, payload["id"])
        spans.append(normalize_span(payload, zero_ns, parent if is_inside else ""))
    scopes = {payload["id"]: payload.get("scope", "") for payload in by_id.values()}
    filled = fill_requested_arguments(_drop_cycles(spans))
    return tuple(merge_repeated_calls(filled, scopes))


def _drop_cycles(spans: Sequence[Span]) -> list[Span]:
    """Return the spans that have a path from an outermost span; only forged spans have none."""
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id, []).append(span)
    reached: set[str] = set()
    level = children.get("", [])
    while level:
        reached |= {span.id for span in level}
        level = [child for span in level for child in children.get(span.id, ())]
        level = [span for span in level if span.id not in reached]
    return [span for span in spans if span.id in reached]


def normalize_span(payload: SpanPayload, zero_ns: int, parent: str) -> Span:
    """Return one span without regard to the others of its trace.

    Its start counts from `zero_ns`. `parent` is the id of its parent, empty at the top level.
    """
    given = payload["attributes"]
    names = TEMPLATES.get(str(given.get(TEMPLATE_ATTRIBUTE)), {})
    attributes = {names.get(name, name): value for name, value in given.items()}
    kind = _read_kind(attributes, payload, is_outermost=not parent)
    found = {field: _pop_first(attributes, names) for field, names in FIELD_ALIASES.items()}
    parameters = _pop_first(attributes, TOOL_PARAMETERS) if kind == "tool" else None
    error, error_type = _read_error(attributes, payload, kind, found["error_type"])
    span = Span(
        id=payload["id"],
        name=payload["name"],
        kind=kind,
        parent_id=parent,
        start_s=(payload["start_ns"] - zero_ns) / 1e9,
        duration_s=max(payload["end_ns"] - payload["start_ns"], 0) / 1e9,
        error_type=error_type,
        error=error,
        tool=_to_text(found["tool"])
        or (_parse_tool_name(payload["name"]) if kind == "tool" else ""),
        model=_to_text(found["model"])
        or (_read_requested_model(attributes) if kind == "model" else ""),
        prompt=_to_text(found["prompt"]),
        user_id=_to_text(found["user_id"]),
        session_id=_to_text(found["session_id"]),
        temperature=_to_amount(found["temperature"]),
        input_tokens=_to_count(found["input_tokens"]),
        output_tokens=_to_count(found["output_tokens"]),
        cost_usd=_to_amount(found["cost_usd"]),
        arguments=parse_value(found["arguments"]),
        result=parse_value(found["result"]),
        attributes=attributes,
    )
    return _unwrap_call(span, parameters) if kind == "tool" else span


def _unwrap_call(span: Span, parameters: Json) -> Span:
    """Return the span of a tool with plain arguments, and with an error that its framework handled."""
    result = read_result(span.result)
    failed = span.error or span.error_type
    error = "" if failed else find_handled_error(result, span.tool)
    if failed and span.error in ("", span.error_type):  # some libraries give the type alone
        error = find_error_text(result)
    return replace(
        span,
        arguments=unwrap_arguments(span.arguments, span.tool, parameters),
        result=result,
        error=error or span.error,
        error_type=span.error_type or ("error" if error else ""),
    )


def _read_error(
    attributes: dict[str, Json], payload: SpanPayload, kind: SpanKind, given_type: Json
) -> tuple[str, str]:
    """Return the message and the type of a span's error; both are empty if it has none."""
    message, error_type = payload["error"], payload["error_type"] or given_type or ""
    caught = [attributes.pop(name, "") for name in (CAUGHT_MESSAGE, CAUGHT_TYPE)]
    # An agent may go on after an exception, but a tool that raised one has failed.
    if kind == "tool" and message is None and caught[1]:
        message, error_type = str(caught[0]), error_type or caught[1]
    fallback = "" if message is None else "error"
    return message or "", _shorten_error_type(str(error_type)) or fallback


def _pop_first(attributes: dict[str, Json], names: Sequence[str]) -> Json:
    """Remove all the names and return the value of the first one that has a value."""
    values = [attributes.pop(name) for name in names if name in attributes]
    return next((value for value in values if value not in (None, "")), None)


def _read_kind(
    attributes: dict[str, Json], payload: SpanPayload, *, is_outermost: bool
) -> SpanKind:
    # Remove them all, also those after the first known one: stored attributes repeat no field.
    words = [attributes.pop(key) for key in KIND_ATTRIBUTES if key in attributes]
    if payload["name"] in NO_CALLS:
        return "step"
    if is_outermost and payload.get("scope") in AGENT_SCOPES:
        return "agent"
    for word in words:
        kind = KIND_ALIASES.get(str(word).lower())
        if kind is not None:
            return kind
    if _has_any(attributes, "tool"):
        return "tool"
    if _has_any(attributes, "input_tokens") or _has_any(attributes, "output_tokens"):
        return "model"
    return KIND_ALIASES.get(payload["name"].partition(" ")[0].lower(), "step")


def _has_any(attributes: Mapping[str, Json], field: str) -> bool:
    return any(name in attributes for name in FIELD_ALIASES[field])


def _parse_tool_name(name: str) -> str:
    """Return the tool in a span's name, such as `execute_tool search` or `search.tool`."""
    for prefix in ("execute_tool ", "running tool: ", "ai.toolCall "):
        name = name.removeprefix(prefix)
    return name.removesuffix(".tool")


def _read_requested_model(attributes: Mapping[str, Json]) -> str:
    """Return the model in the request; OpenInference names it nowhere else when the call fails."""
    request = parse_value(attributes.get("llm.invocation_parameters"))
    model = request.get("model") if isinstance(request, Mapping) else None
    return model if isinstance(model, str) else ""


def _shorten_error_type(error_type: str) -> str:
    """Return the last part of a dotted name: `ValueError` for `builtins.ValueError`."""
    word = error_type.strip()
    return word.rpartition(".")[2] or word if word.replace(".", "").isidentifier() else word


def _to_text(value: Json) -> str:
    return "" if value is None else str(value)


def _to_amount(value: Json) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _to_count(value: Json) -> int | None:
    number = _to_amount(value)
    return None if number is None else int(number)
