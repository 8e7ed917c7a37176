"""The records of a rubric: the criteria that a judge applies, and controls that check the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

RubricInput: TypeAlias = Literal["reference", "context"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One level that a judge may choose for a criterion; `value` is its score in 0..1."""

    name: str
    value: float
    description: str = ""


YES_OR_NO = (Level(name="yes", value=1.0), Level(name="no", value=0.0))
"""The default levels of a criterion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """An answer with the level that a person gave it, shown to the judge."""

    answer: str
    level: str
    input: str = ""
    reference: str = ""
    context: str = ""
    explanation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionCheck:
    """A built-in metric that decides a criterion without a judge; `line` is its line in the file."""

    ref: str
    args: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """One criterion: a question with levels to choose from, or a check.

    `otherwise` is the level when nothing in the answer supports another one.
    """

    name: str
    question: str = ""
    levels: tuple[Level, ...] = YES_OR_NO
    otherwise: str = ""
    weight: float = 1.0
    examples: tuple[Example, ...] = ()
    check: CriterionCheck | None = None

    @property
    def lowest(self) -> Level:
        """The level with the lowest value."""
        return min(self.levels, key=lambda level: level.value)

    def level(self, name: str) -> Level | None:
        """Return the level with a name, if there is one."""
        return next((level for level in self.levels if level.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """An answer that a reliable judge is known to pass or fail."""

    name: str
    passes: bool
    answer: str
    input: str = ""
    reference: str = ""
    context: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequirement:
    """How well a judge must agree with people before this rubric may fail a build."""

    kappa: float = 0.0
    labels: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """One rubric file, read and checked.

    The score of an answer is the weighted mean of its criteria's values. It passes at `pass_at` or more;
    if `higher_is_better` is false, at `pass_at` or less. `needs` lists what a case must provide; a judge
    sees no other part of a case's reference and context. `anchors` is a file of answers with human
    labels that are judged again in every run. `digest` covers what a judge is asked and how its answers
    count. If it `is_pairwise`, a judge compares two answers by the criteria, in place of grading one.
    """

    name: str
    path: str
    description: str = ""
    criteria: tuple[Criterion, ...] = ()
    needs: tuple[RubricInput, ...] = ()
    pass_at: float = 1.0
    higher_is_better: bool = True
    controls: tuple[Control, ...] = ()
    anchors: str = ""
    require_calibration: CalibrationRequirement | None = None
    digest: str = ""
    is_pairwise: bool = False

    @property
    def judged_criteria(self) -> tuple[Criterion, ...]:
        """The criteria that a judge decides."""
        return tuple(criterion for criterion in self.criteria if criterion.check is None)

    @property
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest possible score of an answer."""
        total = sum(criterion.weight for criterion in self.criteria)
        if not total:
            return 0.0, 1.0
        counted = [(each.weight, [level.value for level in each.levels]) for each in self.criteria]
        lowest = sum(weight * min(values) for weight, values in counted) / total
        return lowest, sum(weight * max(values) for weight, values in counted) / total

    def is_passed(self, value: float) -> bool:
        """Return whether a score passes, allowing for rounding errors."""
        # A weighted mean such as 0.1 + 0.2 may be off by a few units in the last place.
        slack = 1e-9
        return (
            value >= self.pass_at - slack
            if self.higher_is_better
            else value <= self.pass_at + slack
        )
