"""Define the evidence on how much worse a metric got, and decide a rule by it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import ceil, exp, expm1, inf, isfinite, log, log1p

from evalkit.compare.paired_scores import PairedScores
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import CaseContribution, PreferenceCounts
from evalkit.core.literals import Outcome
from evalkit.core.trial import MAX_VALUE
from evalkit.stats.intervals import Interval
from evalkit.stats.power import LEANING_ALPHA, Design, DropLimits
from evalkit.stats.sign_flip_test import ClusterTest

_ROUNDING = 1e-9

DISPLAY_ALPHA = 0.05
"""The alpha of intervals to look at: 90 % intervals of all runs, however many looks each of them took."""

MIN_LATENCY_CHANGE_S = 0.01
"""The smallest change of a latency that counts, unless the rule sets one. Smaller changes are caused by the
scheduler, and the first call of a new process is slower by as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HarmScale:
    """The direction and scale of harm: positive is worse, 0 is no change.

    `sign` is -1 if a drop is harm and 1 if a rise is. Values are measured in multiples of `unit_size`, or
    by their logarithm.
    """

    sign: int
    unit_size: float = 1.0
    is_log: bool = False

    @property
    def noun(self) -> str:
        """The word for harm in a sentence."""
        return "drop" if self.sign < 0 else "rise"

    def to_scale(self, value: float) -> float:
        """Return a metric's value on this scale."""
        return log(value) if self.is_log else value / self.unit_size

    def from_scale(self, measured: float) -> float:
        """Return a number on this scale as a value of the metric."""
        return exp(measured) if self.is_log else measured * self.unit_size

    def harm(self, base: float, candidate: float) -> float:
        """Return how much worse one value is than another."""
        return self.sign * (self.to_scale(candidate) - self.to_scale(base))

    def harm_of_limit(self, limit: float) -> float:
        """Return a rule's limit (at least 0) as harm; infinite for a drop to 0."""
        if not self.is_log:
            return limit
        if self.sign > 0:
            return log1p(limit)
        return -log1p(-limit) if limit < 1 else inf

    def as_change(self, harm: float) -> float:
        """Return harm as a signed change, in points or as a share of the baseline."""
        change = self.sign * harm
        if not self.is_log:
            return change
        # exp(710) overflows a float.
        return expm1(change) if change < 700 else inf


def choose_scale(rule: Rule, pairs: PairedScores, base: float, *, by_case: bool) -> HarmScale:
    """Return points for a metric without a unit, else shares of its baseline.

    With `by_case` and only positive values, the share is that of a typical case: the scale is
    logarithmic, so that a slow case has the same weight as a fast one.

    Raises:
        NotComparable: the baseline is 0, so no change is a share of it.
    """
    sign = -1 if rule.max_drop is not None else 1
    values = list(chain(*pairs.base, *pairs.candidate))
    if not pairs.info.unit or not any(values):
        return HarmScale(sign=sign)
    if by_case and min(values) * MAX_VALUE > 1:
        return HarmScale(sign=sign, is_log=True)
    if abs(base) * MAX_VALUE <= 1:
        raise NotComparable("its baseline is 0, so no change is a share of it. Use min or max")
    return HarmScale(sign=sign, unit_size=abs(base))


def min_relevant_harm(rule: Rule, scale: HarmScale, base: float) -> float:
    """Return a rule's `and_at_least` as harm; infinite for a drop to 0."""
    if rule.and_at_least is None:
        return 0.0
    # On a log scale, the harm of an absolute change depends on the baseline.
    beyond = base + scale.sign * rule.and_at_least
    return inf if scale.is_log and beyond <= 0 else scale.harm(base, beyond)


def drop_limits_of(rule: Rule, scale: HarmScale, base: float, level: float) -> DropLimits:
    """Return a rule's limits as harm on a scale; a drop that is allowed is also tolerated.

    A change must exceed both the share and the absolute change, so the larger of the two is the limit.
    `level` is the level of the p-value.
    """
    limit = rule.max_drop if rule.max_drop is not None else rule.max_rise
    allowed = max(scale.harm_of_limit(limit or 0.0), min_relevant_harm(rule, scale, base))
    tolerated = max(allowed, scale.harm_of_limit(rule.margin))
    return DropLimits(alpha=level, max_drop=allowed, tolerated=tolerated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The evidence of two runs on one rule.

    `base` and `candidate` are the compared statistics, in the metric's unit. `harm` is measured on
    `scale`, and each of its `bounds` is wrong with probability at most alpha. `display` are the bounds at
    `DISPLAY_ALPHA`. `p_value` is one-sided,
    `p_bound` is a smaller bound of the probability to report, or 1. `p_unweighted` is the p-value without
    weights, `smallest_p` the smallest that these cases allow. `is_offset_by_gains` is True if stable cases
    got worse and others got better by as much. An unchanged agent fails with probability at most
    `false_alarm`; a harm of `detectable_harm` fails 4 times in 5. If `looks` is set, both are estimates for
    the whole run, of up to so many trials per case, and `whole_alpha` is the alpha of all looks together. `design` is set for scores from 0 to 1, to plan further
    trials. `preference` is set for pairwise metrics. `population` is the test on other cases like
    these; it is None for a quantile, which is a statistic of all trials together.
    """

    pairs: PairedScores
    scale: HarmScale
    limits: DropLimits
    base: float
    candidate: float
    harm: float
    bounds: Interval
    display: Interval
    p_value: float
    p_unweighted: float
    smallest_p: float
    false_alarm: float
    detectable_harm: float | None
    p_bound: float = 1.0
    looks: int = 0
    whole_alpha: float | None = None
    is_offset_by_gains: bool = False
    hits: tuple[CaseContribution, ...] = ()
    design: Design | None = None
    population: ClusterTest | None = None
    preference: PreferenceCounts | None = None

    @property
    def is_large(self) -> bool:
        """Whether the observed harm is at least what the rule allows."""
        return self.harm >= self.limits.max_drop - _ROUNDING

    @property
    def leans_worse(self) -> bool:
        """Whether the unweighted test suggests harm; if not, the weighted test is no proof."""
        return self.p_unweighted <= LEANING_ALPHA

    @property
    def is_ruled_out(self) -> bool:
        """Whether more harm than the rule tolerates is ruled out."""
        return self.bounds.high < self.limits.tolerated


def decide_paired(evidence: Evidence) -> Outcome:
    """Return fail for harm that is large and proven, pass if it is ruled out, else inconclusive.

    Harm that is large and may be real never passes. One more failure of the candidate can only meet more
    of the conditions to fail, so it never changes fail to pass.
    """
    suspected = evidence.is_large and evidence.leans_worse
    if suspected and evidence.p_value <= evidence.limits.alpha:
        return "fail"
    return "pass" if evidence.is_ruled_out and not suspected else "inconclusive"


def estimate_cases_to_decide(evidence: Evidence) -> int | None:
    """Return about how many cases would rule the harm out, or prove it if it is large.

    This assumes that the harm stays the same, and that the width of the interval falls with the square
    root of the number of cases. None if no number would decide.
    """
    distance = evidence.limits.tolerated - evidence.harm
    reach = evidence.bounds.high - evidence.harm
    if evidence.is_large:
        distance, reach = evidence.harm, evidence.harm - evidence.bounds.low
    if distance <= _ROUNDING or not isfinite(reach):
        return None
    return ceil(len(evidence.pairs.cases) * (reach / distance) ** 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointComparison:
    """The plain numbers that a rule with `test: point` compares, in the metric's unit."""

    pairs: PairedScores
    scale: HarmScale
    limits: DropLimits
    base: float
    candidate: float
    hits: tuple[CaseContribution, ...]

    @property
    def harm(self) -> float:
        """How much worse the candidate is."""
        return self.scale.harm(self.base, self.candidate)

    @property
    def outcome(self) -> Outcome:
        """`fail` if the candidate is worse by more than the rule allows, else `pass`."""
        return "fail" if self.harm > self.limits.max_drop + _ROUNDING else "pass"
