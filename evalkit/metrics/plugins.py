"""Metric plugins: what an eval set names, loaded in a worker process and called there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.trial import AgentError, Output, Score
from evalkit.metrics.entry_points import PluginNotFound, locate_plugin
from evalkit.metrics.scorers import NEEDS_LABEL, finalize_score, metric_error
from evalkit.worker.pool import TargetSpec, WorkerPool, open_pool

ENTRY_POINT_GROUP = "evalkit.metrics"
"""The entry-point group under which distributions offer metrics."""

DEADLINE_S = 60.0
"""The longest a plugin may take for one score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """A metric of the eval set and the object behind its name."""

    spec: MetricSpec
    target: TargetSpec

    @property
    def key(self) -> str:
        """Plugins of one key are one object under several names, and share a process."""
        return digest([self.target.ref, self.target.args])


def find_plugin(
    spec: MetricSpec, surroundings: RunEnvironment, problems: list[Problem], built_in: Iterable[str]
) -> Plugin | None:
    """What a metric that is not built in refers to; None when something was added to `problems`."""
    try:
        ref = locate_plugin(spec.ref, surroundings, group=ENTRY_POINT_GROUP, built_in=built_in)
    except PluginNotFound as error:
        problems.append(Problem(message=f"metric {spec.ref!r}: {error}", where=spec.where))
        return None
    return Plugin(
        spec=spec, target=TargetSpec(kind="metric", ref=ref, args=spec.args, where=spec.where)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginScorer:
    """A plugin, which scores in a process of its own, so that it can break nothing but its score."""

    info: MetricInfo
    pool: WorkerPool

    @classmethod
    def of(cls, plugin: Plugin, pool: WorkerPool) -> PluginScorer:
        """A loaded plugin under its name in the eval set; the digest covers its code and arguments."""
        said = pool.description
        place, _, attribute = plugin.target.ref.rpartition(":")
        # Moving a file changes no score; code that is in no file is known by its module only.
        source = said["source_digest"] or place
        info = MetricInfo(
            name=plugin.spec.name,
            unit=said["unit"],
            higher_is_better=said["higher_is_better"],
            digest=digest([source, attribute, plugin.target.args]),
        )
        return cls(info=info, pool=pool)

    @property
    def is_measurement(self) -> bool:
        """What has a unit is a measurement."""
        return bool(self.info.unit)

    @property
    def waits(self) -> bool:
        """For the plugin's process."""
        return True

    @property
    def needs(self) -> str:
        """Nothing that could be told beforehand but a tag."""
        return NEEDS_LABEL

    @property
    def caution(self) -> str:
        """None."""
        return ""

    def applies_to(self, case: Case) -> bool:  # noqa: ARG002 - a plugin says so by its score
        """A plugin is asked about every case."""
        return True

    def problem_with(self, case: Case) -> str | None:  # noqa: ARG002 - likewise
        """What a plugin needs of a case, only it knows."""
        return None

    async def score(self, case: Case, output: Output) -> Score:
        """Ask the plugin."""
        payload = {"case": msgspec.to_builtins(case), "output": msgspec.to_builtins(output)}
        try:
            reply = await self.pool.call(payload, DEADLINE_S)
        except (ValueError, RecursionError) as error:
            return metric_error(self.info, f"the output cannot be handed over as JSON: {error}")
        if reply.error is not None:
            return metric_error(self.info, _describe(reply.error))
        return finalize_score(Score(**reply.value), self.info)


def _describe(error: AgentError) -> str:
    said = f"it raised {error.message}" if error.kind == "exception" else error.message
    return f"{said}\n{error.detail}".rstrip()


@asynccontextmanager
async def open_plugins(
    plugins: Sequence[Plugin], surroundings: RunEnvironment, problems: list[Problem]
) -> AsyncIterator[Mapping[str, WorkerPool]]:
    """Load plugins side by side, by their keys; one that cannot be loaded adds to `problems`."""
    targets = {plugin.key: plugin.target for plugin in reversed(plugins)}
    async with AsyncExitStack() as stack:
        pools = await asyncio.gather(
            *(_open(target, surroundings, stack, problems) for target in targets.values())
        )
        yield {key: pool for key, pool in zip(targets, pools, strict=True) if pool}


async def _open(
    target: TargetSpec, surroundings: RunEnvironment, stack: AsyncExitStack, problems: list[Problem]
) -> WorkerPool | None:
    try:
        return await stack.enter_async_context(open_pool(target, surroundings))
    except InvalidInput as error:
        problems += error.problems
        return None
