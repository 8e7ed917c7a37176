"""Receive OTLP over HTTP on loopback, and sort the spans to the trials that they belong to."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from evalkit.core.eval_set import AgentSpec
from evalkit.core.limits import MAX_EXPORT_BYTES
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from evalkit.trace.normalizer import add_spans
from evalkit.trace.otlp import (
    ExportTooLarge,
    InvalidExport,
    read_export,
)
from evalkit.trace.otlp_json import TRACE_ATTRIBUTE, ReceivedSpan
from evalkit.trace.recording import SpanRecording
from evalkit.trace.warnings import EXPORTS_REFUSED, SPANS_CUT, SPANS_DROPPED

if TYPE_CHECKING:
    from aiohttp import web


HOST = "127.0.0.1"
PATH = "/v1/traces"
RESOURCE_VARIABLE = "OTEL_RESOURCE_ATTRIBUTES"


class TrialTrace:
    """The trace of one trial: the ids that the agent's spans refer to, and the spans received."""

    def __init__(self) -> None:
        # W3C Trace Context: neither id may be all zeros, which 16 random digits never are in practice.
        self.trace_id = secrets.token_hex(16)
        self.root_id = secrets.token_hex(8)
        self.start_ns = time.time_ns()
        self.recording = SpanRecording()
        self.invalid_exports = 0
        self.arrived = asyncio.Event()

    @property
    def traceparent(self) -> str:
        """The value of the W3C Trace Context header, or of the variable TRACEPARENT."""
        return f"00-{self.trace_id}-{self.root_id}-01"

    @property
    def is_complete(self) -> bool:
        """Whether an outermost span has arrived, and the parent of every span that has.

        A span is sent once it has ended, so the outermost arrives last.
        """
        spans = self.recording.spans
        known = {"", self.root_id, *(span["id"] for span in spans)}
        has_root = any(span["parent"] in ("", self.root_id) for span in spans)
        return has_root and all(span["parent"] in known for span in spans)

    def add_to_output(self, output: Output) -> Output:
        """Return the output with the spans received, and flags for those that are missing or cut."""
        recording = self.recording
        counts = {
            SPANS_DROPPED: recording.dropped,
            SPANS_CUT: recording.cut,
            EXPORTS_REFUSED: self.invalid_exports,
        }
        if not recording.spans and not any(counts.values()):
            return output
        return add_spans(
            output, recording.spans, start_ns=self.start_ns, root=self.root_id, counts=counts
        )


class SpanCollector:
    """The traces of the trials that are running."""

    def __init__(self) -> None:
        self._open: dict[str, TrialTrace] = {}
        self.has_received = False

    @contextmanager
    def open_trace(self) -> Iterator[TrialTrace]:
        """Yield a new trace that receives spans until the context ends."""
        trace = TrialTrace()
        self._open[trace.trace_id] = trace
        try:
            yield trace
        finally:
            del self._open[trace.trace_id]

    def receive(self, spans: Iterable[ReceivedSpan]) -> None:
        """Add spans to their traces, and drop those of trials that have ended.

        Raises:
            InvalidExport: `spans` is read lazily and turns out to be invalid.
        """
        for span in spans:
            trace = self._open.get(span.trace_id) or self._open.get(span.resource_trace_id)
            if trace is not None:
                self.has_received = True
                trace.recording.add(span.payload)
                trace.arrived.set()

    def count_invalid_export(self) -> None:
        """Count an invalid export for every running trial, as its sender is unknown."""
        for trace in self._open.values():
            trace.invalid_exports += 1


class SpanReceiver:
    """An OTLP endpoint on loopback; see `open_receiver`."""

    def __init__(self, listening: socket.socket) -> None:
        self.collector = SpanCollector()
        self.endpoint = f"http://{HOST}:{listening.getsockname()[1]}"
        self._socket = listening
        self._runner: web.AppRunner | None = None
        self._starting: asyncio.Task[None] | None = None
        # Start to serve at the first connection: an agent that sends no spans never loads aiohttp.
        asyncio.get_running_loop().add_reader(listening, self._start)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._starting = loop.create_task(self._serve())

    async def _serve(self) -> None:
        from aiohttp import web  # noqa: PLC0415 - 150 ms, for agents that send spans

        application = web.Application(client_max_size=MAX_EXPORT_BYTES)
        application.router.add_post(PATH, self._handle_export)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            # `read_export` decompresses with a limit, which aiohttp does not have.
            auto_decompress=False,
            shutdown_timeout=0.5,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def _handle_export(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415 - as above

        content_type = request.headers.get("Content-Type", "").lower()
        try:
            body = await request.read()
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            self.collector.receive(read_export(body, content_type, encoding))
        except (web.HTTPRequestEntityTooLarge, ExportTooLarge):
            self.collector.count_invalid_export()
            return web.Response(status=413, text=f"the limit is {MAX_EXPORT_BYTES:,} bytes")
        except (ConnectionError, web.RequestPayloadError):
            # The sender ended while it sent; nobody reads the response.
            self.collector.count_invalid_export()
            return web.Response(status=400)
        except InvalidExport as error:
            self.collector.count_invalid_export()
            return web.Response(status=400, text=str(error))
        # An empty message, in the encoding of the request as OTLP/HTTP demands.
        if "json" in content_type:
            return web.Response(body=b"{}", content_type="application/json")
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._runner is not None:
            await self._runner.cleanup()


@asynccontextmanager
async def open_receiver(port: int = 0) -> AsyncIterator[SpanReceiver]:
    """Yield a receiver that listens on a port of loopback, by default on any free one.

    Raises:
        OSError: the port is in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(256)
        listening.setblocking(False)
        receiver = SpanReceiver(listening)
        try:
            yield receiver
        finally:
            await receiver.close()


class TraceEnvironment:
    """The environment variables that make an agent's child processes send their spans here.

    Variables that the set passes on by name (`env:`) keep the user's value.
    """

    def __init__(
        self, receiver: SpanReceiver, spec: AgentSpec, environment: RunEnvironment
    ) -> None:
        self.collector = receiver.collector
        self._endpoint = receiver.endpoint
        self._user_names = frozenset(spec.env)
        self._environment = environment

    def trial_variables(self, trace: TrialTrace, request: Request) -> dict[str, str]:
        """Return the variables of one trial."""
        attributes = {
            # SDKs read the resource by themselves, but not TRACEPARENT.
            TRACE_ATTRIBUTE: trace.trace_id,
            "evalkit.run.id": self._environment.run_id,
            "evalkit.case.id": request.case_id,
            "evalkit.trial": str(request.trial),
        }
        resource = ",".join(
            f"{name}={quote(value, safe='', errors='surrogatepass')}"
            for name, value in attributes.items()
        )
        user_resource = self._environment.environ.get(RESOURCE_VARIABLE, "")
        if user_resource and RESOURCE_VARIABLE in self._user_names:
            resource = f"{user_resource},{resource}"
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            # A command that is killed at its deadline has sent most of its spans by then.
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "TRACEPARENT": trace.traceparent,
        }
        ours = {name: text for name, text in variables.items() if name not in self._user_names}
        return {**ours, RESOURCE_VARIABLE: resource}
