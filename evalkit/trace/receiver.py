"""A receiver of OTLP over HTTP on loopback, which costs a socket until somebody sends to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from evalkit.core.eval_set import AgentSpec
from evalkit.core.limits import MAX_EXPORT_BYTES
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Request
from evalkit.trace.collector import SpanCollector, TrialTrace
from evalkit.trace.otlp import TRACE_ATTRIBUTE, ExportTooLarge, InvalidExport, read_export

if TYPE_CHECKING:
    from aiohttp import web


HOST = "127.0.0.1"
PATH = "/v1/traces"


class SpanReceiver:
    """Where agents send their spans to."""

    def __init__(self, listening: socket.socket) -> None:
        self.collector = SpanCollector()
        self.endpoint = f"http://{HOST}:{listening.getsockname()[1]}"
        self._socket = listening
        self._runner: web.AppRunner | None = None
        self._starting: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Wait for a first sender. Until then nothing that serves HTTP is loaded."""
        asyncio.get_running_loop().add_reader(self._socket, self._start)

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
            auto_decompress=False,
            shutdown_timeout=0.5,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def _handle_export(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415 - as above

        content_type = request.headers.get("Content-Type", "")
        try:
            body = await request.read()
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            self.collector.receive(read_export(body, content_type.lower(), encoding))
        except (web.HTTPRequestEntityTooLarge, ExportTooLarge):
            self.collector.count_invalid_export()
            return web.Response(status=413, text=f"at most {MAX_EXPORT_BYTES:,} bytes are taken")
        except InvalidExport as wrong:
            self.collector.count_invalid_export()
            return web.Response(status=400, text=str(wrong))
        is_json = "json" in content_type
        return web.Response(
            body=b"{}" if is_json else b"",
            content_type="application/json" if is_json else "application/x-protobuf",
        )

    async def close(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()


@asynccontextmanager
async def open_receiver(port: int = 0) -> AsyncIterator[SpanReceiver]:
    """Listen on loopback, on any free port unless one is named.

    Raises:
        OSError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(256)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    receiver = SpanReceiver(listening)
    receiver.listen()
    try:
        yield receiver
    finally:
        await receiver.close()


RESOURCE_VARIABLE = "OTEL_RESOURCE_ATTRIBUTES"


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceEnvironment:
    """A receiver, and what the children that should send to it are told; nothing the user named."""

    collector: SpanCollector
    run_id: str
    shared_variables: Mapping[str, str]
    user_resource: str
    user_variable_names: frozenset[str]

    @classmethod
    def for_run(
        cls, receiver: SpanReceiver, spec: AgentSpec, surroundings: RunEnvironment
    ) -> TraceEnvironment:
        """What holds for every trial of a run."""
        named = frozenset(spec.env)
        shared = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            # A command that is killed at its deadline has sent most of its spans by then.
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }
        return cls(
            collector=receiver.collector,
            run_id=surroundings.run_id,
            shared_variables={name: value for name, value in shared.items() if name not in named},
            user_resource=surroundings.environ.get(RESOURCE_VARIABLE, "")
            if RESOURCE_VARIABLE in named
            else "",
            user_variable_names=named,
        )

    def trial_variables(self, trace: TrialTrace, request: Request) -> dict[str, str]:
        """The variables for one trial: SDKs do not read TRACEPARENT by themselves, but the resource."""
        attributes = {
            TRACE_ATTRIBUTE: trace.trace_id,
            "evalkit.run.id": self.run_id,
            "evalkit.case.id": request.case_id,
            "evalkit.trial": str(request.trial),
        }
        ours = ",".join(
            f"{name}={quote(value, safe='', errors='surrogatepass')}"
            for name, value in attributes.items()
        )
        resource = f"{self.user_resource},{ours}" if self.user_resource else ours
        own = (
            {"TRACEPARENT": trace.traceparent}
            if "TRACEPARENT" not in self.user_variable_names
            else {}
        )
        return {**self.shared_variables, **own, RESOURCE_VARIABLE: resource}
