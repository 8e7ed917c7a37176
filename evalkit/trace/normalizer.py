"""Steps as they were told, under whatever names, into spans under evalkit's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.core.literals import Json
from evalkit.core.spans import Span, SpanKind
from evalkit.core.trial import Output
from evalkit.trace.conventions import FIELD_ALIASES, KIND_ALIASES, KIND_ATTRIBUTES
from evalkit.trace.recording import SpanPayload
from evalkit.trace.warnings import SPANS_CUT, SPANS_DROPPED, build_count_flags

_MAX_JSON_DEPTH = 50


def normalize_spans(
    told: Sequence[SpanPayload], *, start_ns: int, root: str = ""
) -> tuple[Span, ...]:
    """The steps of one trial in order of their start.

    `start_ns` is when the trial began, `root` the id of the span that stands for the trial itself. A
    step whose parent was not told of stands right below the trial.
    """
    known = {step["id"]: step for step in told}  # one that was sent twice is taken once
    # A clock that is behind ours must not put a step before the trial.
    zero_ns = min([start_ns, *(step["start_ns"] for step in told)])
    ordered = sorted(known.values(), key=lambda step: (step["start_ns"], -step["end_ns"]))
    spans = []
    for step in ordered:
        parent = step["parent"]
        inside = parent in known and parent not in (root, step["id"])
        spans.append(_normalize_span(step, zero_ns, parent if inside else ""))
    return tuple(_drop_cycles(spans))


def _drop_cycles(spans: Sequence[Span]) -> list[Span]:
    """The spans, less those that could be reached from no root, which only a liar sends."""
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent_id, []).append(span)
    reached: set[str] = set()
    level = below.get("", [])
    while level:
        reached |= {span.id for span in level}
        level = [child for span in level for child in below.get(span.id, ())]
        level = [span for span in level if span.id not in reached]
    return [span for span in spans if span.id in reached]


def _normalize_span(step: SpanPayload, zero_ns: int, parent: str) -> Span:
    left = dict(step["attributes"])
    kind = _read_kind(left, step["name"])
    found = {field: _pop_first(left, names) for field, names in FIELD_ALIASES.items()}
    failed = step["error"] is not None
    error_type = step["error_type"] or found.pop("error_type") or ""
    return Span(
        id=step["id"],
        name=step["name"],
        kind=kind,
        parent_id=parent,
        start_s=(step["start_ns"] - zero_ns) / 1e9,
        duration_s=max(step["end_ns"] - step["start_ns"], 0) / 1e9,
        error_type=_shorten_error_type(str(error_type)) or ("error" if failed else ""),
        error=step["error"] or "",
        tool=_to_text(found["tool"]) or (_parse_tool_name(step["name"]) if kind == "tool" else ""),
        model=_to_text(found["model"]),
        prompt=_to_text(found["prompt"]),
        user_id=_to_text(found["user_id"]),
        session_id=_to_text(found["session_id"]),
        temperature=_to_amount(found["temperature"]),
        input_tokens=_to_count(found["input_tokens"]),
        output_tokens=_to_count(found["output_tokens"]),
        cost_usd=_to_amount(found["cost_usd"]),
        arguments=_to_value(found["arguments"]),
        result=_to_value(found["result"]),
        attributes=left,
    )


def _pop_first(attributes: dict[str, Json], names: Sequence[str]) -> Json:
    """The value under the first of some names that is there; all of them are used up."""
    values = [attributes.pop(name) for name in names if name in attributes]
    return next((value for value in values if value not in (None, "")), None)


def _read_kind(attributes: dict[str, Json], name: str) -> SpanKind:
    said = [attributes.pop(key) for key in KIND_ATTRIBUTES if key in attributes]
    for word in said:
        kind = KIND_ALIASES.get(str(word).lower())
        if kind is not None:
            return kind
    if _has_any(attributes, "tool"):
        return "tool"
    if _has_any(attributes, "input_tokens") or _has_any(attributes, "output_tokens"):
        return "model"
    return KIND_ALIASES.get(name.partition(" ")[0].lower(), "step")


def _has_any(attributes: Mapping[str, Json], field: str) -> bool:
    return any(name in attributes for name in FIELD_ALIASES[field])


def _parse_tool_name(name: str) -> str:
    """The tool in a span's name, as `execute_tool search` or `search.tool` have it."""
    for prefix in ("execute_tool ", "running tool: ", "ai.toolCall "):
        name = name.removeprefix(prefix)
    return name.removesuffix(".tool")


def _shorten_error_type(error_type: str) -> str:
    """The word an error is known by: `ValueError`, of `builtins.ValueError`."""
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


def _to_value(value: Json) -> Any:
    """A value that senders must write as text, since attributes hold no objects, as the JSON it is."""
    if not (isinstance(value, str) and value[:1] in ("{", "[")):
        return value
    try:
        read = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return value
    return read if _is_storable(read) else value


def _refuse_constant(name: str) -> Json:
    raise ValueError(name)


def _is_storable(value: Json) -> bool:
    """Whether a value holds only finite numbers that others can read, and is not too deep."""
    level = [value]
    for _ in range(_MAX_JSON_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
        if any(isinstance(item, float | int) and not abs(item) < 2**63 for item in level):
            return False
    return False


def add_worker_spans(output: Output, sent: Json) -> Output:
    """The output with the steps that a worker process sent."""
    if not sent:
        return output
    flags = build_count_flags({SPANS_DROPPED: sent["dropped"], SPANS_CUT: sent["cut"]})
    spans = normalize_spans(sent["spans"], start_ns=sent["start_ns"])
    return replace(output, spans=spans, flags=(*output.flags, *flags))
