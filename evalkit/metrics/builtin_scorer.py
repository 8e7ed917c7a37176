"""Score trials by a built-in metric, in this process."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from dataclasses import dataclass, field, fields
from pathlib import Path

from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.source_files import read_file
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import BuiltIn
from evalkit.metrics.scorers import Scorer, finalize_score, metric_error

MAX_INLINE_CHARS = 100_000
"""Characters of an answer that is scored on the event loop, which takes a few milliseconds at most."""

MAX_INLINE_STEPS = 100
"""Tool calls and spans of an output that is scored on the event loop."""

# Baselines store digests, so the digest keeps the name that an argument had when they were recorded.
_DIGEST_NAMES = {"normalize": "normalise"}


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInScorer(Scorer):
    """A built-in metric under its name in the eval set."""

    info: MetricInfo = field()
    metric: BuiltIn

    @classmethod
    def of(cls, spec: MetricSpec, metric: BuiltIn) -> BuiltInScorer:
        """Create the scorer of a metric.

        The digest covers every argument, including defaults and the content of files, and the version.
        """
        given = {each.name: getattr(metric, each.name) for each in fields(metric)}
        args = {
            _DIGEST_NAMES.get(name, name): _content_of(value)
            for name, value in given.items()
            if not isinstance(value, RunEnvironment)
        }
        sources = [[path.name, _content_of(path)] for path in metric.sources]
        info = MetricInfo(
            name=spec.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            digest=digest([spec.ref, metric.version, args, *sources]),
        )
        return cls(info=info, metric=metric)

    @property
    def is_measurement(self) -> bool:
        """Whether the metric only measures."""
        return self.metric.is_measurement

    @property
    def waits(self) -> bool:
        """Whether scoring waits for other processes."""
        return self.metric.waits

    @property
    def caution(self) -> str:
        """The warning of the metric, if any."""
        return self.metric.caution

    def applies_to(self, case: Case) -> bool:
        """Return whether the metric applies to the case."""
        return self.metric.applies_to(case)

    def problem_with(self, case: Case) -> str | None:
        """Return why the metric cannot score the case, or None."""
        return self.metric.problem_with(case)

    async def score(self, case: Case, output: Output) -> Score:
        """Score on the event loop, or in a thread if the output is large."""
        try:
            # A large output would block the agents that share the event loop.
            score = (
                self.metric.score(case, output)
                if _is_small(output)
                else await asyncio.to_thread(self.metric.score, case, output)
            )
            if inspect.isawaitable(score):
                score = await score
            return finalize_score(score, self.info)
        except Exception as error:
            # Any error costs only this score, not the run.
            return metric_error(self.info, f"{type(error).__name__}: {error}")


def _is_small(output: Output) -> bool:
    steps = len(output.tool_calls) + len(output.spans)
    return len(output.text) <= MAX_INLINE_CHARS and steps <= MAX_INLINE_STEPS


def _content_of(value: Json) -> Json:
    return hashlib.sha256(read_file(value)).hexdigest() if isinstance(value, Path) else value
