"""Record the spans of the OpenTelemetry SDK in an agent's process, each for the call it belongs to.

The spans of every provider are recorded, global or not. The SDK is only loaded when the agent uses
OpenTelemetry.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

from evalkit.trace.events import read_outcome
from evalkit.trace.recording import SpanPayload, SpanRecording, current_recording

RecordingFallback = Callable[[], "SpanRecording | None"]


class RecordingSpanProcessor:
    """An OpenTelemetry SpanProcessor that records spans and changes nothing.

    A span belongs to the call in whose context it was started. If its thread has lost that context, it
    belongs to the call of another span of the same trace, or else to the only call in flight.
    """

    def __init__(self, fallback: RecordingFallback) -> None:
        self._fallback = fallback
        # Weak, so that the recordings of finished calls can be freed.
        self._by_trace: WeakValueDictionary[int, SpanRecording] = WeakValueDictionary()

    def on_start(self, span: Any, parent_context: object = None) -> None:  # noqa: ARG002 - the SDK's interface
        """Find the call that a span belongs to."""
        context = span.context
        recording = current_recording.get()
        if recording is None:
            recording = self._by_trace.get(context.trace_id) or self._fallback()
        if recording is None:
            return
        self._by_trace[context.trace_id] = recording
        recording.open_spans[f"{context.span_id:016x}"] = lambda: build_span_payload(span)

    def on_end(self, span: Any) -> None:
        """Record a span that has ended."""
        recording = self._by_trace.get(span.context.trace_id)
        if recording is not None:
            # The SDK passes a read-only copy here; the recording has the span itself.
            recording.end(f"{span.context.span_id:016x}")

    def _on_ending(self, span: object) -> None:
        """Do nothing; some versions of the SDK call it."""

    def shutdown(self) -> None:
        """Do nothing: no span is buffered."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's interface
        """Return at once: no span is buffered."""
        return True


def build_span_payload(span: Any) -> SpanPayload:
    """Return the payload of a span of the SDK, ended or not."""
    scope = span.instrumentation_scope
    events = [(event.name, event.attributes) for event in span.events]
    return {
        "id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "scope": scope.name if scope else "",
        "start_ns": span.start_time or 0,
        "end_ns": span.end_time or time.time_ns(),
        **read_outcome(
            span.status.status_code.name.lower(),
            span.status.description or "",
            events,
            span.attributes or {},
        ),
    }


class _ImportHook:
    """Runs an action on modules of OpenTelemetry as soon as they have been imported."""

    def __init__(self, actions: dict[str, Callable[[ModuleType], None]]) -> None:
        self._actions = actions

    def find_spec(
        self,
        fullname: str,
        path: object = None,  # noqa: ARG002 - Python's interface
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Find a module as Python would, and run its action after its own code."""
        # Removed first, because find_spec below asks this hook again.
        action = self._actions.pop(fullname, None)
        spec = importlib.util.find_spec(fullname) if action else None
        if action is None or spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_act(module: ModuleType) -> None:
            run(module)
            action(module)

        spec.loader.exec_module = run_and_act  # type: ignore[method-assign]
        return spec


def _add_span_processor(module: Any, processor: RecordingSpanProcessor) -> None:
    provider = module.TracerProvider
    init = provider.__init__

    def init_and_record(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.add_span_processor(processor)

    provider.__init__ = init_and_record


def install_import_hook(fallback: RecordingFallback) -> None:
    """Record the spans of all code that imports OpenTelemetry from now on."""
    processor = RecordingSpanProcessor(fallback)

    def record_sdk(module: ModuleType) -> None:
        _add_span_processor(module, processor)
        ensure_provider_in_call()

    actions: dict[str, Callable[[ModuleType], None]] = {
        "opentelemetry.sdk.trace": record_sdk,
        "opentelemetry.trace": lambda _: ensure_provider_in_call(),
    }
    sys.meta_path.insert(0, _ImportHook(actions))


def ensure_provider_in_call() -> None:
    """Set a tracer provider for an agent that imports OpenTelemetry in a call.

    An agent that is being loaded may still set its own provider.
    """
    if current_recording.get() is not None:
        ensure_provider()


def ensure_provider() -> None:
    """Set a tracer provider if the agent uses OpenTelemetry and has set none.

    When this returns, there is one: a span that a thread starts before would be lost.
    """
    if _IS_ENSURED.is_set():
        return
    # Import outside of the lock: a thread that imports these modules holds Python's lock of them, and
    # may come here from the import hook.
    from opentelemetry import trace  # noqa: PLC0415 - the agent has it loaded

    chosen = os.environ.get("OTEL_PYTHON_TRACER_PROVIDER")
    if not chosen and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        try:
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - 100 ms
        except ImportError:
            # Without the SDK the agent records no spans. While the SDK is being imported, it comes
            # here again when it is complete.
            return
        with _LOCK:
            if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
                trace.set_tracer_provider(TracerProvider())
    _IS_ENSURED.set()


_LOCK = threading.Lock()
_IS_ENSURED = threading.Event()
