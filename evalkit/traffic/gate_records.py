"""The records of a gate on traffic: a threshold with its data, a comparison, and a decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from evalkit.compare.estimates import QUANTILE_LEVELS
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import Check
from evalkit.gate.evidence import HarmScale
from evalkit.stats.intervals import Interval
from evalkit.stats.power import DropLimits
from evalkit.traffic.compared import Compared, Statistic, UserDays
from evalkit.traffic.measures import Measure


class DayCoverage(NamedTuple):
    """The requests of a day, and for how many of them a measure is known; both weighted as in `Side`."""

    day: date
    requests: float
    known: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A measure on one side of a comparison.

    Of its `requests`, it is known for `known` (both are numbers of requests that were sent, if the source
    sampled them), which `by_day` has by day. `users` are those with a known value.
    """

    label: str
    data: UserDays
    requests: float
    known: float
    users: int
    by_day: tuple[DayCoverage, ...] = ()

    @property
    def coverage(self) -> float:
        """The share of the requests for which the measure is known."""
        return self.known / self.requests if self.requests else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleData:
    """A threshold with its data: the period to be decided, and the earlier ones.

    `shared_problems` say why the traffic is incomplete, and `problems` what is wrong with this measure. A
    threshold with either does not pass. `with_mixed` is the same with the requests of sessions that have
    several versions or variants; None if none are left out.
    """

    rule: Rule
    measure: Measure
    candidate: Side
    earlier: tuple[Side, ...] = ()
    is_concurrent: bool = False
    shared_problems: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    with_mixed: RuleData | None = None

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Everything for which it does not pass."""
        shared = ("the traffic is incomplete",) if self.shared_problems else ()
        return (*shared, *self.problems)

    @property
    def statistic(self) -> Statistic:
        """What is estimated."""
        return Statistic(
            is_share=self.measure.kind == "rate", level=QUANTILE_LEVELS.get(self.rule.stat)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficCheck:
    """The decision on one threshold, with the sizes of both sides."""

    check: Check
    unit: str
    candidate: Side
    earlier: tuple[Side, ...] = ()
    compared: Compared | None = None
    is_in_table: bool = False
    """Whether the numbers and the reason of the whole result say all that its sentence says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingChange:
    """A comparison whose level depends on the p-values of the other thresholds."""

    data: RuleData
    compared: Compared
    scale: HarmScale
    limits: DropLimits
    p_value: float

    @property
    def harm(self) -> float:
        """How much worse the measure became, on the scale."""
        return self.scale.harm(self.compared.base.value, self.compared.candidate.value)

    def bounds(self, alpha: float) -> Interval:
        """Return the interval of the harm."""
        low, high = self.compared.bounds(alpha)
        return Interval(low, high) if self.scale.sign > 0 else Interval(-high, -low)
