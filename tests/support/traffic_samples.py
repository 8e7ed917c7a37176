"""Traffic that tests write: OTLP exports of an invented shop's support agent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DAY_NS = 86_400 * 10**9
START_NS = 1_793_520_000 * 10**9
"""2026-11-01 in UTC, a Sunday."""


class KeptValues:
    """Replaces nothing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def redact_text(self, text: str) -> str:
        return text

    def redact_json(self, value: Any) -> Any:
        return value

    def pseudonym(self, kind: str, value: str) -> str:  # noqa: ARG002
        return value


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP JSON has them."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"stringValue": value}


def span(
    trace: str,
    number: int,
    parent: int = 0,
    *,
    name: str = "step",
    start_ms: float = 0,
    ms: float = 100,
    day: int = 0,
    error: str = "",
    **attributes: Any,
) -> dict[str, Any]:
    """Return a span; dots in the names of attributes are written as `__`."""
    start = START_NS + day * DAY_NS + int(start_ms * 1e6)
    found: dict[str, Any] = {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(ms * 1e6)),
        "attributes": pairs({key.replace("__", "."): each for key, each in attributes.items()}),
    }
    if parent:
        found["parentSpanId"] = f"{parent:016x}"
    if error:
        found["status"] = {"code": 2, "message": error}
    return found


def export(spans: Iterable[Mapping[str, Any]], **resource: Any) -> dict[str, Any]:
    """Return one export of spans with the attributes of their resource."""
    named = {key.replace("__", "."): each for key, each in resource.items()}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": pairs(named)},
                "scopeSpans": [{"scope": {"name": "shop"}, "spans": list(spans)}],
            }
        ]
    }


def support_request(number: int, *, day: int = 0, failed: bool = False) -> list[dict[str, Any]]:
    """Return the five spans of a request: the agent, two model calls, a tool, and a step."""
    trace = f"{number + 1:032x}"
    asked = json.dumps(
        [
            {"role": "system", "content": "You help customers of a shop."},
            {"role": "user", "content": f"Where is my order {number}?"},
        ]
    )
    start = number % 80_000 * 1000
    common: dict[str, Any] = {"day": day}
    model: dict[str, Any] = {
        "gen_ai__operation__name": "chat",
        "gen_ai__request__model": "gpt-4o-mini",
        "gen_ai__provider__name": "openai",
        "gen_ai__usage__input_tokens": 100,
        "gen_ai__usage__output_tokens": 20,
    }
    return [
        span(
            trace, 1, name="invoke_agent shop", start_ms=start, ms=2000,
            error="no answer" if failed else "",
            gen_ai__operation__name="invoke_agent", user__id=f"user-{number % 50}",
            session__id=f"session-{number // 3}", input__value=asked,
            output__value=f"Order {number} is on its way.",
            gen_ai__usage__input_tokens=200, gen_ai__usage__output_tokens=40, **common,
        ),
        span(trace, 2, 1, name="plan", start_ms=start + 10, ms=1900, **common),
        span(trace, 3, 2, name="chat", start_ms=start + 20, ms=600, **model, **common),
        span(
            trace, 4, 2, name="execute_tool get_order", start_ms=start + 700, ms=200,
            gen_ai__operation__name="execute_tool", gen_ai__tool__name="get_order",
            gen_ai__tool__call__arguments=json.dumps({"order": number}),
            gen_ai__tool__call__result=json.dumps({"state": "sent"}), **common,
        ),
        span(trace, 5, 2, name="chat", start_ms=start + 950, ms=900, **model, **common),
    ]  # fmt: skip


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    """Write records as lines of JSON."""
    with path.open("w") as stream:
        for record in records:
            stream.write(json.dumps(record) + "\n")
    return path
