"""Run an agent of `agents/` as a service would, and write its traces as the Collector would.

Usage: traffic_driver.py AGENT FILE
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

ORDERS = (1, 7, 8, 9)
"""Found, unknown, two at once, and refused by the model."""


class MessageFile(SpanExporter):
    """Writes each export with its length before it, like the Collector with `format: proto`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:  # type: ignore[override]
        data = encode_spans(spans).SerializeToString()
        with self._path.open("ab") as stream:
            stream.write(len(data).to_bytes(4, "big") + data)
        return SpanExportResult.SUCCESS


def main(agent: str, path: Path) -> None:
    """Ask the agent about each order: directly, and inside the span of a web server."""
    resource = Resource.create({"service.name": "orders", "service.version": "v7"})
    provider = TracerProvider(resource=resource)
    # Each span is an export of its own, those inside before those around them.
    provider.add_span_processor(SimpleSpanProcessor(MessageFile(path)))
    trace.set_tracer_provider(provider)
    sys.path.insert(0, str(Path(__file__).parent / "agents"))
    answer = importlib.import_module(f"{agent}_agent").answer
    tracer = trace.get_tracer("web")
    for order in ORDERS:
        # Each request has a context of its own, as in a server.
        contextvars.Context().run(ask, answer, order)
        contextvars.Context().run(serve, tracer, answer, order)
    provider.shutdown()


def serve(tracer: trace.Tracer, answer: object, order: int) -> None:
    """Ask about an order inside the span of a web server."""
    given = {"user.id": f"user-{order}", "session.id": f"session-{order}"}
    with tracer.start_as_current_span(
        "POST /chat", kind=trace.SpanKind.SERVER, attributes=given
    ) as span:
        if not ask(answer, order):
            span.set_status(trace.Status(trace.StatusCode.ERROR, "502"))


def ask(answer: object, order: int) -> bool:
    """Ask about an order, and return whether there was an answer."""
    assert callable(answer)
    try:
        found = answer(f"Where is order {order}?")
        if inspect.isawaitable(found):
            found = asyncio.run(found)  # type: ignore[arg-type]
    except Exception:
        return False
    return bool(found)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
