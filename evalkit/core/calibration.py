"""The records of a calibration: how well a judge agrees with people under a rubric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with the bounds of its 90 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The agreement of two raters on the same answers.

    `confusion[i][j]` counts the answers with level i from the first rater and level j from the second.
    When one of them is a judge, it is the second. `kappa` is Cohen's kappa. `weighted_kappa` weights a
    disagreement by the difference between the values of the levels; with two levels it equals `kappa`.
    Both are None when both raters gave the same level to every answer, because chance then explains every
    agreement. `ac1` is Gwet's AC1, which is less sensitive to an unbalanced base rate.
    """

    levels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Estimate
    ac1: Estimate
    kappa: Estimate | None = None
    weighted_kappa: Estimate | None = None

    @property
    def answers(self) -> int:
        """The number of answers that both raters labeled."""
        return sum(map(sum, self.confusion))

    @property
    def base_rates(self) -> tuple[float, ...]:
        """The share of the answers to which the first rater gave each level."""
        return tuple(sum(row) / self.answers for row in self.confusion)

    @property
    def best_constant_level(self) -> tuple[str, float]:
        """The level that agrees most often if given to every answer, and its agreement."""
        rates = self.base_rates
        return self.levels[rates.index(max(rates))], max(rates)


PEOPLE = "people"
"""The other rater of a juror that is compared with the majority of the people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterAgreement:
    """The agreement of two raters, or of one with the majority of the others (`other` is empty)."""

    rater: str
    other: str
    agreement: Agreement

    @property
    def is_against_majority(self) -> bool:
        """Whether `agreement` is with the majority of the others."""
        return not self.other


@dataclass(frozen=True, kw_only=True, slots=True)
class JurorAgreement:
    """The agreement of each two jurors of a run on one criterion of a metric."""

    metric: str
    criterion: str
    pairs: tuple[RaterAgreement, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionCalibration:
    """The agreement of a judge with people on one criterion.

    `agreement` is None when no answer has a level from both. `unjudged` counts labeled answers without a
    verdict, `divided` those without a majority among the people. `flip_rate` is the probability that two
    judgments of one answer differ; None when each answer was judged once. `jurors` has the agreement of each
    juror with the majority of the people, then of each two jurors, if the judge is a jury.
    """

    criterion: str
    agreement: Agreement | None = None
    unjudged: int = 0
    divided: int = 0
    flip_rate: float | None = None
    people: tuple[RaterAgreement, ...] = ()
    jurors: tuple[RaterAgreement, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The calibration of one judge under one rubric.

    It is valid only for the rubric and the judge with these digests. `labels` is the digest of the labels
    that it is based on, `source` the file that they were read from.
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
    """Return why a calibration does not meet a requirement; empty when it does.

    Every judged criterion must reach `kappa` on at least `labels` answers.
    """
    for found in calibration.criteria:
        agreement = found.agreement
        answers = agreement.answers if agreement is not None else 0
        if answers < labels:
            return f"{found.criterion} has {answers} of {labels} required labeled answers"
        reached = agreement.kappa if agreement is not None else None
        # Without variation, chance explains every agreement and kappa is undefined.
        if reached is None:
            return f"{found.criterion} has no kappa, because every answer has the same level"
        if reached.value < kappa:
            return (
                f"kappa of {found.criterion} is {reached.value:.2f}, below the required {kappa:g}"
            )
    return "" if calibration.criteria else "no criterion was calibrated"
