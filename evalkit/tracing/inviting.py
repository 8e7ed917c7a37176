"""The environment that has an agent's OpenTelemetry send its spans here, below its trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from evalkit.records import AgentSpec, Request, Surroundings
from evalkit.tracing.collecting import Collector, Trace
from evalkit.tracing.otlp import TRACE_ATTRIBUTE
from evalkit.tracing.receiver import Receiver

RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracing:
    """A receiver, and what the children that should send to it are told; nothing the user named."""

    collector: Collector
    run_id: str
    shared: Mapping[str, str]
    resource: str
    names_own: frozenset[str]

    @classmethod
    def of(cls, receiver: Receiver, spec: AgentSpec, surroundings: Surroundings) -> Tracing:
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
            shared={name: value for name, value in shared.items() if name not in named},
            resource=surroundings.environ.get(RESOURCE, "") if RESOURCE in named else "",
            names_own=named,
        )

    def variables(self, trace: Trace, request: Request) -> dict[str, str]:
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
        resource = f"{self.resource},{ours}" if self.resource else ours
        own = {"TRACEPARENT": trace.traceparent} if "TRACEPARENT" not in self.names_own else {}
        return {**self.shared, **own, RESOURCE: resource}
