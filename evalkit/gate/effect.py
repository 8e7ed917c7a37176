"""A rule that compares with the baseline into what it calls harm and how that is measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import exp, expm1, inf, log, log1p

from evalkit.compare.pairs import PairedScores
from evalkit.compare.scores import MAX_VALUE
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Rule
from evalkit.stats.power import DropLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class HarmScale:
    """What a rule calls harm, and how it is measured: positive is worse, 0 is no change.

    `sign` is -1 where a drop is harm and 1 where a rise is. Values are measured as they are, in
    multiples of `one`, or by their logarithm.
    """

    sign: int
    unit_size: float = 1.0
    is_log: bool = False

    def to_scale(self, value: float) -> float:
        """A metric's value on this scale."""
        return log(value) if self.is_log else value / self.unit_size

    def from_scale(self, measured: float) -> float:
        """The metric's value that is measured so."""
        return exp(measured) if self.is_log else measured * self.unit_size

    def harm(self, base: float, candidate: float) -> float:
        """How much worse one value is than another."""
        return self.sign * (self.to_scale(candidate) - self.to_scale(base))

    def harm_of_limit(self, limit: float) -> float:
        """The harm that a rule's limit (at least 0) stands for; infinite for a drop by all there is."""
        if not self.is_log:
            return limit
        if self.sign > 0:
            return log1p(limit)
        return -log1p(-limit) if limit < 1 else inf

    def as_change(self, harm: float) -> float:
        """Harm as a signed change: in points, or as a share of the baseline."""
        change = self.sign * harm
        if not self.is_log:
            return change
        return expm1(change) if change < 700 else inf


def choose_scale(rule: Rule, pairs: PairedScores, base: float, *, by_case: bool) -> HarmScale:
    """Points for a metric without a unit, else shares of its baseline.

    With `by_case` and where all values are positive, the share is that of a typical case: the mean of
    the logarithms, in which a slow case weighs no more than a quick one.

    Raises:
        NotComparable: the baseline is 0, and nothing is a share of that.
    """
    sign = -1 if rule.max_drop is not None else 1
    values = list(chain(*pairs.base, *pairs.candidate))
    if not pairs.info.unit or not any(values):
        return HarmScale(sign=sign)
    if by_case and min(values) * MAX_VALUE > 1:
        return HarmScale(sign=sign, is_log=True)
    if abs(base) * MAX_VALUE <= 1:
        raise NotComparable("it is 0 in the baseline, and nothing is a share of 0. Use min or max")
    return HarmScale(sign=sign, unit_size=abs(base))


def min_relevant_harm(rule: Rule, scale: HarmScale, base: float) -> float:
    """The harm that a rule's `and_at_least` stands for; infinite for a drop by all there is."""
    if rule.and_at_least is None:
        return 0.0
    beyond = base + scale.sign * rule.and_at_least
    return inf if scale.is_log and beyond <= 0 else scale.harm(base, beyond)


def drop_limits_of(
    rule: Rule, scale: HarmScale, base: float, level: float | None = None
) -> DropLimits:
    """A rule's limits as harm on a scale; what it allows to be lost it also lets pass.

    As harm grows with the value, to be beyond a share and an absolute change is to be beyond the larger
    of both. `level` is what the p-value is held to, by default the rule's alpha.
    """
    limit = rule.max_drop if rule.max_drop is not None else rule.max_rise
    allowed = max(scale.harm_of_limit(limit or 0.0), min_relevant_harm(rule, scale, base))
    tolerated = max(allowed, scale.harm_of_limit(rule.margin))
    return DropLimits(alpha=level or rule.alpha, max_drop=allowed, tolerated=tolerated)
