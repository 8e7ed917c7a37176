"""Decide the thresholds of traffic by the comparison of its periods, with the words of other gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.compare.estimates import MetricEstimate
from evalkit.core.errors import Undecidable
from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check
from evalkit.core.literals import Outcome
from evalkit.gate.evidence import HarmScale, drop_limits_of
from evalkit.gate.limits import decide_limit
from evalkit.gate.phrases import finite_or_none
from evalkit.stats.clustered import find_p_value
from evalkit.stats.multiplicity import holm_levels
from evalkit.stats.power import LEANING_ALPHA
from evalkit.traffic.compared import compare_periods, is_bounded, require_users, whole_records
from evalkit.traffic.gate_records import PendingChange, RuleData, TrafficCheck
from evalkit.traffic.gate_sentences import (
    change_sentence,
    limit_sentence,
    plan_change,
    plan_limit,
)

_ROUNDING = 1e-9
_BY_HARM: tuple[Outcome, ...] = ("pass", "inconclusive", "undecided", "fail")
_MIXED = (
    "its outcome is another one with the requests that are left out because their session has several "
    "versions or variants"
)


def check_rules(datas: Sequence[RuleData]) -> list[TrafficCheck]:
    """Decide all thresholds; one that cannot be decided is undecided, never passed.

    Neither does one pass that does not with the requests of sessions that have several versions or variants:
    a client that falls back to another version after a failure makes such sessions.
    """
    checks = _check_each(datas)
    if all(data.with_mixed is None for data in datas):
        return checks
    others = _check_each([data.with_mixed or data for data in datas])
    doubted = [
        replace(data, problems=(*data.problems, _MIXED))
        if _BY_HARM.index(other.check.outcome) > _BY_HARM.index(check.check.outcome)
        else data
        for data, check, other in zip(datas, checks, others, strict=True)
    ]
    return _check_each(doubted)


def _check_each(datas: Sequence[RuleData]) -> list[TrafficCheck]:
    """Decide all thresholds by the requests that count.

    As in the gate of runs, the primary threshold has its full alpha, and the others that compare share
    theirs (Holm 1979). To pass, each has to rule out more harm than it tolerates, at its whole alpha.
    """
    started = [_start(data) for data in datas]
    sharing = [
        index for index, data in enumerate(datas) if data.rule.compares and not data.rule.primary
    ]
    p_values = [
        each.p_value if isinstance(each := started[index], PendingChange) else 1.0
        for index in sharing
    ]
    alphas = [datas[index].rule.alpha for index in sharing]
    levels = dict(zip(sharing, holm_levels(p_values, alphas), strict=True))
    return [
        _finish(each, levels.get(index, each.data.rule.alpha))
        if isinstance(each, PendingChange)
        else each
        for index, each in enumerate(started)
    ]


def _start(data: RuleData) -> TrafficCheck | PendingChange:
    try:
        _require_data(data)
        if not data.rule.compares:
            return _check_limit(data)
        return _start_change(data)
    except Undecidable as why:
        return _undecided(data, str(why))


def _require_data(data: RuleData) -> None:
    if data.rule.compares and not data.earlier:
        raise Undecidable("there is nothing to compare with. Name earlier traffic: --against NAME")
    for side in (data.candidate, *(data.earlier if data.rule.compares else ())):
        require_users(side.data, data.statistic, side.label)


def _undecided(data: RuleData, why: str) -> TrafficCheck:
    stop = "" if why.endswith((".", "?")) else "."
    sentence = f"UNDECIDED {name_rule(data.rule)}: {why}{stop}"
    check = Check(rule=data.rule, outcome="undecided", sentence=sentence)
    return TrafficCheck(
        check=check, unit=data.measure.unit, candidate=data.candidate, earlier=data.earlier
    )


def _withhold(outcome: Outcome, data: RuleData) -> Outcome:
    """Return the outcome, undecided unless it failed if the data is incomplete."""
    return "undecided" if data.all_problems and outcome != "fail" else outcome


def _check_limit(data: RuleData) -> TrafficCheck:
    rule, side, statistic = data.rule, data.candidate, data.statistic
    found = statistic.estimate(whole_records(side.data))
    if found is None:
        raise Undecidable("the measure is unknown for every request")
    interval = found.bounds(rule.alpha)
    estimate = MetricEstimate(
        unit=data.measure.unit, value=found.value, interval=interval, cases=side.users,
        clusters=side.users, scored=round(side.known), due=round(side.requests), missing={},
    )  # fmt: skip
    decided = decide_limit(rule, estimate)
    outcome = _withhold(decided, data)
    limit = rule.min if rule.min is not None else rule.max or 0.0
    check = Check(
        rule=rule,
        outcome=outcome,
        sentence=limit_sentence(data, found.value, interval, decided, outcome),
        candidate=found.value,
        low=finite_or_none(interval.low),
        high=finite_or_none(interval.high),
        display_low=finite_or_none(interval.low),
        display_high=finite_or_none(interval.high),
        cases=side.users,
        trials=side.known / side.users,
        to_decide=plan_limit(found.value, interval, limit, side.users)
        if outcome == "inconclusive"
        else "",
    )
    is_in_table = outcome == "undecided" and not data.problems
    return TrafficCheck(
        check=check, unit=data.measure.unit, candidate=side, is_in_table=is_in_table
    )


def _start_change(data: RuleData) -> PendingChange:
    rule = data.rule
    compared = compare_periods(
        data.candidate.data,
        [side.data for side in data.earlier],
        data.statistic,
        is_concurrent=data.is_concurrent,
    )
    base = compared.base.value
    is_log = not data.statistic.is_share
    if is_log and not (base > 0 and compared.candidate.value > 0):
        raise Undecidable("it is 0 on one side, so no change is a share of it. Use min or max")
    scale = HarmScale(sign=-1 if rule.max_drop is not None else 1, is_log=is_log)
    limits = drop_limits_of(rule, scale, base, rule.alpha)
    pending = PendingChange(data=data, compared=compared, scale=scale, limits=limits, p_value=1.0)
    if not is_bounded(pending.bounds(rule.alpha)):
        raise Undecidable("too little data for an interval")
    return replace(pending, p_value=find_p_value(lambda alpha: pending.bounds(alpha).low > 0))


def _decide(pending: PendingChange, level: float) -> Outcome:
    """Decide like `decide_paired` in `evalkit/gate/evidence.py`."""
    is_large = pending.harm >= pending.limits.max_drop - _ROUNDING
    if is_large and pending.p_value <= level:
        return "fail"
    suspected = is_large and pending.p_value <= LEANING_ALPHA
    ruled_out = pending.bounds(pending.data.rule.alpha).high < pending.limits.tolerated
    return "pass" if ruled_out and not suspected else "inconclusive"


def _finish(pending: PendingChange, level: float) -> TrafficCheck:
    data, rule, scale = pending.data, pending.data.rule, pending.scale
    decided = _decide(pending, level)
    outcome = _withhold(decided, data)
    bounds = pending.bounds(rule.alpha)
    low, high = sorted(map(scale.as_change, bounds))
    check = Check(
        rule=rule,
        outcome=outcome,
        sentence=change_sentence(pending, decided, outcome, level),
        baseline=pending.compared.base.value,
        candidate=pending.compared.candidate.value,
        difference=finite_or_none(scale.as_change(pending.harm)),
        low=finite_or_none(low),
        high=finite_or_none(high),
        display_low=finite_or_none(low),
        display_high=finite_or_none(high),
        p_value=pending.p_value,
        false_alarm=level,
        cases=data.candidate.users,
        base_trials=sum(side.known for side in data.earlier)
        / sum(side.users for side in data.earlier),
        trials=data.candidate.known / data.candidate.users,
        to_decide=plan_change(pending, bounds) if outcome == "inconclusive" else "",
    )
    return TrafficCheck(
        check=check,
        unit=data.measure.unit,
        candidate=data.candidate,
        earlier=data.earlier,
        compared=pending.compared,
        is_in_table=outcome == "undecided" and not data.problems,
    )
