"""Define scorers: metrics that are ready to score trials."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace

from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.run import MetricInfo
from evalkit.core.serialization import digest
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import NEEDS_LABEL

MAX_EXPLANATION_CHARS = 2000
"""Characters of an explanation that are stored; a plugin may write any number."""


class Scorer(ABC):
    """One metric of a run."""

    __slots__ = ()

    @property
    @abstractmethod
    def info(self) -> MetricInfo:
        """What a run stores about the metric."""

    @property
    def is_measurement(self) -> bool:
        """Whether it only measures, such as latency, so that it never passes or fails a trial."""
        return False

    @property
    def judges_answers(self) -> bool:
        """Whether it can find an answer wrong: by a label, a rubric, or code of the user."""
        return not self.is_measurement

    @property
    def waits(self) -> bool:
        """Whether scoring waits for something outside of this process, so that others can run."""
        return True

    @property
    def needs(self) -> str:
        """What a case lacks if the metric does not apply to it, and where to look; part of a message."""
        return NEEDS_LABEL

    @property
    def caution(self) -> str:
        """A warning for the user before anything is scored; empty if there is none."""
        return ""

    def applies_to(self, case: Case) -> bool:  # noqa: ARG002 - a default for subclasses
        """Return whether the case has what the metric needs; the caller checks tags."""
        return True

    def problem_with(self, case: Case) -> str | None:  # noqa: ARG002 - a default for subclasses
        """Return why a case that it applies to cannot be scored and what to do about it, or None."""
        return None

    @abstractmethod
    async def score(self, case: Case, output: Output) -> Score:
        """Score an output that is not an error; a failure of the metric becomes the state of the score."""


def spec_digest(spec: MetricSpec) -> str:
    """Return a digest of which metric a spec names, under what name and with what arguments."""
    return digest([spec.ref, spec.name, spec.args])


def finalize_score(score: Score, info: MetricInfo) -> Score:
    """Return a score under the metric's name, or a metric error if its value is not valid."""
    explanation = score.explanation[:MAX_EXPLANATION_CHARS]
    if score.state != "scored":
        return Score(
            metric=info.name,
            state=score.state,
            explanation=explanation,
            unreported=score.unreported,
        )
    value = score.value
    if value is None or not math.isfinite(value):
        return metric_error(info, f"its value is {value!r}, not a finite number")
    if not info.unit and not 0 <= value <= 1:
        return metric_error(info, f"its value is {value!r}; without a unit it is a share in 0..1")
    return replace(score, metric=info.name, value=float(value), explanation=explanation)


def metric_error(info: MetricInfo, explanation: str) -> Score:
    """Return the score of a trial on which the metric itself failed."""
    return Score(
        metric=info.name, state="metric_error", explanation=explanation[:MAX_EXPLANATION_CHARS]
    )
