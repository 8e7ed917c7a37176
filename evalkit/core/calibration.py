"""How well a judge agrees with people, as records: estimates, tables, one entry per judge and rubric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number and the bounds of its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Two readers' levels of the same answers: `confusion[i][j]` got level i from the first, j from the other.

    The first are people where the other is a judge. `kappa` is Cohen's, the headline; `weighted_kappa`
    counts a miss by how far apart the values of the levels are, and is kappa itself where there are
    two. Both are None where one level alone was given by both, so that chance explains everything.
    `ac1` is Gwet's, which a lopsided base rate sways less.
    """

    levels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Estimate
    ac1: Estimate
    kappa: Estimate | None = None
    weighted_kappa: Estimate | None = None

    @property
    def answers(self) -> int:
        """How many were read by both."""
        return sum(map(sum, self.confusion))

    @property
    def base_rates(self) -> tuple[float, ...]:
        """The share of the answers that the first reader gave each level."""
        return tuple(sum(row) / self.answers for row in self.confusion)

    @property
    def best_constant_level(self) -> tuple[str, float]:
        """The level that, given to every answer, would agree most often, and how often it would."""
        rates = self.base_rates
        return self.levels[rates.index(max(rates))], max(rates)


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterAgreement:
    """How two people agree on the answers both labelled, or one with the majority of the others."""

    rater: str
    other: str
    agreement: Agreement

    @property
    def is_against_majority(self) -> bool:
        """Whether the other is no single person."""
        return not self.other


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionCalibration:
    """A judge and people on one criterion.

    `agreement` is None when no answer has a level from both. `unjudged` labelled answers got no verdict;
    on `divided` ones no level has most of the people's votes. `flip_rate` is the chance that two
    judgements of one answer differ, None when each was judged once.
    """

    criterion: str
    agreement: Agreement | None = None
    unjudged: int = 0
    divided: int = 0
    flip_rate: float | None = None
    people: tuple[RaterAgreement, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What one judge was found to be worth under one rubric.

    It holds for the rubric and judge of these digests and for no other. `labels` is the digest of the
    labels it rests on, `source` the file they were read from.
    """

    rubric: str
    rubric_digest: str
    judge: str
    judge_digest: str
    labels: str
    source: str = ""
    raters: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    repeats: int = 0
    criteria: tuple[CriterionCalibration, ...] = ()


def find_unmet_requirement(calibration: Calibration, kappa: float, labels: int) -> str:
    """Why a judge has not been shown to agree well enough with people; empty when it has.

    Every criterion that is judged has to meet the kappa, on as many answers.
    """
    for found in calibration.criteria:
        agreement = found.agreement
        answers = agreement.answers if agreement is not None else 0
        if answers < labels:
            return (
                f"{found.criterion} rests on {answers} labelled answers, and {labels} are required"
            )
        reached = agreement.kappa if agreement is not None else None
        if reached is None:
            return f"{found.criterion} has no kappa, as one level was given throughout"
        if reached.value < kappa:
            return f"kappa of {found.criterion} is {reached.value:.2f}, and {kappa:g} is required"
    return "" if calibration.criteria else "no criterion was calibrated"
