"""Metrics ready to score: one trial in, one score or the reason why there is none out."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol

from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.source_files import read_file
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import BuiltIn

MAX_EXPLANATION_CHARS = 2000
"""Characters of an explanation that are kept; a plugin may write any number."""


MAX_INLINE_CHARS = 100_000
"""Of an answer that is scored on the event loop, which takes a few milliseconds at most."""

INLINE_STEPS = 100
"""Tool calls and spans likewise."""


NEEDS_LABEL = "the label it compares with. Look at its `expected:` and `tags:`."


class Scorer(Protocol):
    """One metric of a run."""

    @property
    def info(self) -> MetricInfo:
        """What is stored about the metric with the run."""

    @property
    def is_measurement(self) -> bool:
        """Whether it is a measurement such as latency, which nothing passes or fails."""

    @property
    def waits(self) -> bool:
        """Whether a score waits for something outside of this process, meanwhile others can be made."""

    @property
    def needs(self) -> str:
        """What a case lacks that it does not apply to, and where to look, for a message."""

    @property
    def caution(self) -> str:
        """What a user should know before anything is scored; empty when there is nothing."""

    def applies_to(self, case: Case) -> bool:
        """Whether the case has what the metric needs; the tags of its spec are not its business."""

    def problem_with(self, case: Case) -> str | None:
        """Why a case it applies to cannot be scored, and what to do about it."""

    async def score(self, case: Case, output: Output) -> Score:
        """Score an output that is no error; trouble of the metric is a score of that state."""


def finalize_score(score: Score, info: MetricInfo) -> Score:
    """A metric's score under the metric's name; an error when its value may not enter a mean."""
    explanation = score.explanation[:MAX_EXPLANATION_CHARS]
    if score.state != "scored":
        return Score(metric=info.name, state=score.state, explanation=explanation)
    value = score.value
    if value is None or not math.isfinite(value):
        return metric_error(info, f"its value is {value!r}, which can enter no mean")
    if not info.unit and not 0 <= value <= 1:
        return metric_error(info, f"its value is {value!r}; without a unit it is a share in 0..1")
    return replace(score, metric=info.name, value=float(value), explanation=explanation)


def metric_error(info: MetricInfo, explanation: str) -> Score:
    """The score of a trial on which the metric itself failed."""
    return Score(
        metric=info.name, state="metric_error", explanation=explanation[:MAX_EXPLANATION_CHARS]
    )


def _is_small(output: Output) -> bool:
    steps = len(output.tool_calls) + len(output.spans)
    return len(output.text) <= MAX_INLINE_CHARS and steps <= INLINE_STEPS


def _content_of(value: Json) -> Json:
    return hashlib.sha256(read_file(value)).hexdigest() if isinstance(value, Path) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInScorer:
    """A built-in metric, which scores in this process."""

    info: MetricInfo
    metric: BuiltIn

    @classmethod
    def of(cls, spec: MetricSpec, metric: BuiltIn) -> BuiltInScorer:
        """A metric under its name in the eval set.

        The digest covers every argument, defaults and the content of files too, and the version.
        """
        given = {field.name: getattr(metric, field.name) for field in fields(metric)}
        args = {
            name: _content_of(value)
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
        """As the metric says."""
        return self.metric.is_measurement

    @property
    def waits(self) -> bool:
        """As the metric says."""
        return self.metric.waits

    @property
    def caution(self) -> str:
        """As the metric says."""
        return self.metric.caution

    @property
    def needs(self) -> str:
        """A label, if anything."""
        return NEEDS_LABEL

    def applies_to(self, case: Case) -> bool:
        """As the metric says."""
        return self.metric.applies_to(case)

    def problem_with(self, case: Case) -> str | None:
        """As the metric says."""
        return self.metric.problem_with(case)

    async def score(self, case: Case, output: Output) -> Score:
        """Score here and now, or in a thread when there is much to read."""
        try:
            score = (
                self.metric.score(case, output)
                if _is_small(output)
                else await asyncio.to_thread(self.metric.score, case, output)
            )
            if inspect.isawaitable(score):
                score = await score
            return finalize_score(score, self.info)
        except Exception as error:
            # Whatever it is, it costs this one score and not the run.
            return metric_error(self.info, f"{type(error).__name__}: {error}")
