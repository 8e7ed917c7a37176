"""Combine the verdicts on two answers, judged in both orders, into one result for the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.core.judgement import CriterionVerdict, DecidedBy, Place, Preference
from evalkit.core.rubric import Criterion

WORDS: dict[int, str] = {1: "better", 0: "tie", -1: "worse"}
"""The level of a criterion by the sign of the preference for this run's answer."""

RESULTS: dict[int, Preference] = {1: "win", 0: "tie", -1: "loss"}

VALUES: dict[Preference, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}
"""The score of a pair: the mean of many is the share of pairs that are won, where a tie counts half."""


class PairVerdict(NamedTuple):
    """The result of a pair, with a verdict on each criterion, and the place that was preferred twice."""

    preference: Preference
    verdicts: tuple[CriterionVerdict, ...]
    flipped: Place | None = None


def combine_orders(
    criteria: Sequence[Criterion],
    shown_first: Sequence[CriterionVerdict],
    shown_second: Sequence[CriterionVerdict],
) -> PairVerdict:
    """Return the result of an answer from the verdicts when it was shown first and second.

    A criterion prefers an answer only if it does so in both orders. The weights of the criteria for and
    against the answer decide; equal weights are a tie. If the criteria that prefer one place in both orders
    have more weight than that, the pair flipped, which is a tie too.
    """
    verdicts, total, by_place = [], 0.0, 0.0
    for criterion, first, second in zip(criteria, shown_first, shown_second, strict=True):
        # A jury's mean may be any value, so its side of one half counts.
        when_first, when_second = _sign(first.value - 0.5), -_sign(second.value - 0.5)
        agreed = when_first if when_first == when_second else 0
        total += criterion.weight * agreed
        if when_first * when_second < 0:
            by_place += criterion.weight * when_first
        verdicts.append(
            CriterionVerdict(
                criterion=criterion.name,
                level=WORDS[agreed],
                value=VALUES[RESULTS[agreed]],
                evidence=first.evidence,
                explanation=_join_reasons(first, second),
                votes=(WORDS[when_first], WORDS[when_second]),
            )
        )
    flips = _sign(by_place) if abs(by_place) > abs(total) else 0
    place: Place | None = {1: "first", -1: "second"}.get(flips)  # type: ignore[assignment]  # two words
    preference = RESULTS[0 if place else _sign(total)]
    return PairVerdict(preference, tuple(verdicts), place)


def measure_lead(criteria: Sequence[Criterion], verdicts: Sequence[CriterionVerdict]) -> float:
    """Return the weight of the criteria that prefer the answer shown first, less that of the others."""
    # A jury's mean may be any value.
    return sum(
        2 * criterion.weight * (verdict.value - 0.5)
        for criterion, verdict in zip(criteria, verdicts, strict=True)
    )


def settle_pair(criteria: Sequence[Criterion], preference: Preference, reason: str) -> PairVerdict:
    """Return a result that is known without a judge, with its reason."""
    sign = next(sign for sign, result in RESULTS.items() if result == preference)
    by: DecidedBy = "floor"
    return PairVerdict(
        preference,
        tuple(
            CriterionVerdict(
                criterion=criterion.name,
                level=WORDS[sign],
                value=VALUES[preference],
                explanation=f"{reason}; no judge was asked",
                by=by,
            )
            for criterion in criteria
        ),
    )


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _join_reasons(first: CriterionVerdict, second: CriterionVerdict) -> str:
    reasons = (
        ("A is this run's answer", first.explanation),
        ("B is this run's answer", second.explanation),
    )
    return " ".join(f"[{who}] {reason}" for who, reason in reasons if reason)
