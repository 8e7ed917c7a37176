"""Load metric plugins in worker processes and call them there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.trial import AgentError, Output, Score
from evalkit.metrics.entry_points import PluginNotFound, locate_plugin
from evalkit.metrics.scorers import Scorer, finalize_score, metric_error
from evalkit.worker.pool import TargetSpec, WorkerPool, open_pool

ENTRY_POINT_GROUP = "evalkit.metrics"
"""The entry-point group in which distributions offer metrics."""

DEADLINE_S = 60.0
"""The longest that a plugin may take for one score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """A metric of the eval set and the object that its name refers to."""

    spec: MetricSpec
    target: TargetSpec

    @property
    def key(self) -> str:
        """The key of the worker process. Names of one object with equal arguments share a process."""
        return digest([self.target.ref, self.target.args])


def find_plugin(
    spec: MetricSpec, environment: RunEnvironment, problems: list[Problem], built_in: Iterable[str]
) -> Plugin | None:
    """Return the plugin that a spec refers to; None if `problems` grew."""
    try:
        ref = locate_plugin(spec.ref, environment, group=ENTRY_POINT_GROUP, built_in=built_in)
    except PluginNotFound as error:
        problems.append(Problem(message=f"metric {spec.ref!r}: {error}", where=spec.where))
        return None
    return Plugin(
        spec=spec, target=TargetSpec(kind="metric", ref=ref, args=spec.args, where=spec.where)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginScorer(Scorer):
    """A plugin in its own process, so that a crash costs only its own score."""

    info: MetricInfo = field()
    pool: WorkerPool

    @classmethod
    def of(cls, plugin: Plugin, pool: WorkerPool) -> PluginScorer:
        """Create the scorer of a loaded plugin; its digest covers the plugin's code and arguments."""
        description = pool.description
        location, _, attribute = plugin.target.ref.rpartition(":")
        # The digest has the source and not the path, so that moving a file changes nothing. Code
        # without a source file is identified by its module.
        source = description["source_digest"] or location
        info = MetricInfo(
            name=plugin.spec.name,
            unit=description["unit"],
            higher_is_better=description["higher_is_better"],
            digest=digest([source, attribute, plugin.target.args]),
        )
        return cls(info=info, pool=pool)

    @property
    def is_measurement(self) -> bool:
        """False: a plugin may say that an answer is wrong, whatever its unit is."""
        return False

    async def score(self, case: Case, output: Output) -> Score:
        """Call the plugin."""
        payload = {"case": msgspec.to_builtins(case), "output": msgspec.to_builtins(output)}
        try:
            reply = await self.pool.call(payload, DEADLINE_S)
            if reply.error is not None and reply.error.retryable:
                # Another score may have caused it. The pool now makes this call alone.
                reply = await self.pool.call(payload, DEADLINE_S)
        except (ValueError, RecursionError) as error:
            return metric_error(self.info, f"the output cannot be passed as JSON: {error}")
        if reply.error is not None:
            return metric_error(self.info, _describe(reply.error))
        return finalize_score(Score(**reply.value), self.info)


def _describe(error: AgentError) -> str:
    message = f"it raised {error.message}" if error.kind == "exception" else error.message
    return f"{message}\n{error.detail}".rstrip()


@asynccontextmanager
async def open_plugins(
    plugins: Sequence[Plugin], environment: RunEnvironment, problems: list[Problem]
) -> AsyncIterator[Mapping[str, WorkerPool]]:
    """Load plugins in parallel and yield their pools by key; add failures to `problems`."""
    # Reversed, so that the first plugin with a key wins; problems are reported at its location.
    targets = {plugin.key: plugin.target for plugin in reversed(plugins)}
    async with AsyncExitStack() as stack:

        async def load(target: TargetSpec) -> WorkerPool | None:
            try:
                return await stack.enter_async_context(
                    open_pool(target, environment, in_threads=True)
                )
            except InvalidInput as error:
                problems.extend(error.problems)
                return None

        pools = await asyncio.gather(*map(load, targets.values()))
        yield {key: pool for key, pool in zip(targets, pools, strict=True) if pool}
