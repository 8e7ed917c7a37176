"""How much worse a metric got and how sure that is, as numbers, and what is decided from them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite

from evalkit.compare.pairs import PairedScores
from evalkit.core.gate_result import CaseContribution
from evalkit.core.literals import Outcome
from evalkit.gate.effect import HarmScale
from evalkit.gate.population import PopulationEvidence
from evalkit.stats.power import LEANING_ALPHA, Design, DropLimits

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What two runs say on one rule.

    `base` and `candidate` are the statistics compared, in the metric's unit. `harm` is measured on
    `scale`, and each of its bounds is missed with probability at most alpha. `p_value` is one-sided,
    `p_plain` the same without weights, `smallest_p` the least these cases allow; it `is_offset` where
    stable cases got worse and others made up for it. An unchanged agent
    fails with probability `false_alarm` at most; a harm of `smallest_harm` fails 4 times in 5.
    `design` is known for pass rates, where further trials can be planned from it. `users` is what they
    say of other cases like these; it is not known of a quantile, which is of all trials together.
    """

    pairs: PairedScores
    scale: HarmScale
    limits: DropLimits
    base: float
    candidate: float
    harm: float
    harm_low: float
    harm_high: float
    p_value: float
    p_unweighted: float
    smallest_p: float
    false_alarm: float
    detectable_harm: float | None
    is_offset_by_gains: bool = False
    hits: tuple[CaseContribution, ...] = ()
    design: Design | None = None
    population: PopulationEvidence | None = None

    @property
    def is_large(self) -> bool:
        """Whether the harm seen is at least what the rule allows."""
        return self.harm >= self.limits.max_drop - _ROUNDING

    @property
    def leans_worse(self) -> bool:
        """Whether the plain test points to harm; without that nothing weighted is proof."""
        return self.p_unweighted <= LEANING_ALPHA

    @property
    def is_ruled_out(self) -> bool:
        """Whether more harm than the rule tolerates is ruled out."""
        return self.harm_high < self.limits.tolerated


def decide_paired(evidence: Evidence) -> Outcome:
    """Fail harm that is large and proven, pass where it is ruled out, else say that it is neither.

    Harm that is large and leans towards being real never passes. As both of these can only become
    truer when a candidate's pass is turned into a failure, no further failure turns fail into pass.
    """
    suspected = evidence.is_large and evidence.leans_worse
    if suspected and evidence.p_value <= evidence.limits.alpha:
        return "fail"
    return "pass" if evidence.is_ruled_out and not suspected else "inconclusive"


def estimate_cases_to_decide(evidence: Evidence) -> int | None:
    """About how many cases would rule the harm out, or prove it where it is large, if it stays as it is.

    The interval's width falls with the square root of the number of cases. None when no number would.
    """
    room = evidence.limits.tolerated - evidence.harm
    reach = evidence.harm_high - evidence.harm
    if evidence.is_large:
        room, reach = evidence.harm, evidence.harm - evidence.harm_low
    if room <= _ROUNDING or not isfinite(reach):
        return None
    return ceil(len(evidence.pairs.cases) * (reach / room) ** 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointComparison:
    """The bare numbers that a rule with `test: point` compares, in the metric's unit."""

    pairs: PairedScores
    scale: HarmScale
    limits: DropLimits
    base: float
    candidate: float
    hits: tuple[CaseContribution, ...]

    @property
    def harm(self) -> float:
        """How much worse the candidate's number is."""
        return self.scale.harm(self.base, self.candidate)

    @property
    def outcome(self) -> Outcome:
        """Fail when it is worse by more than is allowed."""
        return "fail" if self.harm > self.limits.max_drop + _ROUNDING else "pass"
