"""An HTTP agent that sends its spans to evalkit: an answer and the trace behind it into one Output."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from evalkit.agents.http_agent import HttpAgent
from evalkit.records import Output, Request
from evalkit.tracing.collecting import Collector, Trace
from evalkit.tracing.notes import PARTIAL

GRACE_S = 6.0
"""How long an answer's spans may be under way: exporters send every 5 s unless told otherwise
(OpenTelemetry, OTEL_BSP_SCHEDULE_DELAY)."""

PATIENCE = 3
"""Answers without any span, and none before them, after which no answer waits any more."""


class TracedHttpAgent:
    """Gives every request a traceparent, and waits after the answer for the spans that bear it."""

    def __init__(self, agent: HttpAgent, collector: Collector) -> None:
        self._agent = agent
        self._collector = collector
        self._in_vain = 0

    async def answer(self, request: Request) -> Output:
        """Ask once; waiting for spans counts in no latency."""
        with self._collector.trace() as trace:
            output = await self._agent.answer(request, {"traceparent": trace.traceparent})
            if output.error is not None and output.error.retryable:
                return output  # it did not get there, or will be asked again
            in_time = await self._wait_for(trace)
            output = trace.put_into(output)
            return output if in_time else replace(output, flags=(*output.flags, PARTIAL))

    async def _wait_for(self, trace: Trace) -> bool:
        if not self._collector.has_heard and self._in_vain >= PATIENCE:
            return trace.is_whole
        try:
            async with asyncio.timeout(GRACE_S):
                while not trace.is_whole:
                    trace.arrived.clear()
                    await trace.arrived.wait()
        except TimeoutError:
            self._in_vain += 1
        return trace.is_whole
