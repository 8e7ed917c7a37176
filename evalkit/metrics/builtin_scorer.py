"""Score trials by a built-in metric, in this process."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.core.literals import Json
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.source_files import read_file
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import BuiltIn, UnscorableAnswer
from evalkit.metrics.deadline import DEADLINE_S, MAX_INLINE_S, OutOfTime, limit_time
from evalkit.metrics.scorers import Scorer, finalize_score, metric_error

MAX_INLINE_CHARS = 100_000
"""Characters of an answer that is scored on the event loop, which takes a few milliseconds at most."""

MAX_INLINE_STEPS = 100
"""Tool calls and spans of an output that is scored on the event loop."""

MAX_WAIT_S = 60.0
"""Seconds to wait for a score in a thread, whose own deadline counts processor time."""

# Baselines store digests, so the digest keeps the name that an argument had when they were recorded.
_DIGEST_NAMES = {"normalize": "normalise"}
# Arguments that came later; with these values, scores are as before there was the argument.
_LATER_ARGUMENTS: Mapping[str, Json] = {
    "strip_reasoning": False,
    "tolerance": 0.0,
    "unordered": False,
    "prose": False,
}


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
            and not (name in _LATER_ARGUMENTS and value == _LATER_ARGUMENTS[name])
        }
        sources = [[path.name, _content_of(path)] for path in metric.sources]
        info = MetricInfo(
            name=spec.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            digest=digest([spec.ref, metric.revision, args, *sources]),
        )
        return cls(info=info, metric=metric)

    @property
    def is_measurement(self) -> bool:
        """Whether the metric only measures."""
        return self.metric.is_measurement

    @property
    def judges_answers(self) -> bool:
        """Whether the metric can find an answer wrong."""
        return self.metric.judges_answers

    @property
    def waits(self) -> bool:
        """Whether scoring waits for other processes."""
        return self.metric.waits

    @property
    def needs(self) -> str:
        """What a case lacks if the metric does not apply to it."""
        return self.metric.needs

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
        """Score on the event loop; if the output is large or that takes long, in a thread.

        A score that takes longer than DEADLINE_S of processor time is a metric error.
        """
        if len(output.text) > MAX_REPLY_BYTES and not self.is_measurement:
            size = f"{len(output.text):,} characters; at most {MAX_REPLY_BYTES:,} are scored"
            return metric_error(self.info, f"the answer has {size}")
        try:
            score = await self._compute(case, output)
            if inspect.isawaitable(score):
                score = await score
            return finalize_score(score, self.info)
        except (OutOfTime, UnscorableAnswer) as error:
            return metric_error(self.info, str(error))
        except RecursionError:
            return metric_error(self.info, "the answer is nested too deeply to score it")
        except TimeoutError:
            return metric_error(self.info, f"the score took longer than {MAX_WAIT_S:g} s")
        except Exception as error:
            # Any error costs only this score, not the run.
            return metric_error(self.info, f"{type(error).__name__}: {error}")

    async def _compute(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        if _is_small(output):
            with suppress(OutOfTime), limit_time(MAX_INLINE_S):
                return self.metric.score(case, output)
        # Here it would block the agents that share the event loop.
        return await asyncio.wait_for(
            asyncio.to_thread(self._compute_here, case, output), MAX_WAIT_S
        )

    def _compute_here(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        with limit_time(DEADLINE_S):
            return self.metric.score(case, output)


def _is_small(output: Output) -> bool:
    if len(output.text) > MAX_INLINE_CHARS:
        return False
    if len(output.tool_calls) + len(output.spans) > MAX_INLINE_STEPS:
        return False
    rest: list[Json] = [output.data, output.replies, output.metadata]
    rest += [call.arguments for call in output.tool_calls]
    return _is_below(rest, MAX_INLINE_CHARS)


def _is_below(values: list[Json], size: int) -> bool:
    """Return whether texts have fewer than `size` characters together; any other value counts as 10."""
    while values:
        value = values.pop()
        size -= len(value) if isinstance(value, str) else 10
        if size < 0:
            return False
        if isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
    return True


def _content_of(value: Json) -> Json:
    return hashlib.sha256(read_file(value)).hexdigest() if isinstance(value, Path) else value
