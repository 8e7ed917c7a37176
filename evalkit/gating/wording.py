"""What was decided into sentences: with the sizes, the odds, the cases, and what would decide more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import floor, isfinite

from evalkit.compare import PairedScores
from evalkit.gating.evidence import Evidence, PlainChange, cases_for_bound
from evalkit.gating.limits import Reading, cases_to_decide
from evalkit.gating.scale import Rows, Scale, least_harm
from evalkit.records import MetricInfo, Outcome, Rule
from evalkit.spelling import (
    bound_text,
    change_text,
    count_of,
    digits_apart,
    limit_text,
    missing_text,
    name_rule,
    odds_text,
    value_text,
)
from evalkit.statistics.power import WANTED_POWER, Demand, trials_to_decide
from evalkit.verdict import CaseHit

_NAMED_HITS = 3
_NAMED_FAILURES = 5


def hits_text(hits: Iterable[CaseHit], unit: str = "") -> str:
    """The cases of a check, with what they did before and do now: `case-17 (10/10 -> 0/2)`."""
    words = []
    for hit in hits:
        if hit.is_count:
            before, now = f"{hit.base:g}/{hit.base_trials}", f"{hit.candidate:g}/{hit.trials}"
        else:
            before, now = value_text(hit.base, unit), value_text(hit.candidate, unit)
        words.append(f"{hit.case_id} ({f'{before} -> {now}' if hit.base_trials else now})")
    return ", ".join(words)


def _first_hits_text(hits: Sequence[CaseHit]) -> str:
    left = len(hits) - _NAMED_FAILURES
    return hits_text(hits[:_NAMED_FAILURES]) + (f" and {left} more" if left > 0 else "")


def _hardest_text(hits: Sequence[CaseHit], unit: str) -> str:
    return f"Hit hardest: {hits_text(hits[:_NAMED_HITS], unit)}." if hits else ""


def _left_out_text(missing: Mapping[str, int]) -> str:
    return f"Left out: {missing_text(missing)}." if missing else ""


def trials_per_case(rows: Rows) -> float:
    """The mean number of trials of a case."""
    return sum(map(len, rows)) / len(rows)


def _sizes_text(pairs: PairedScores) -> str:
    before, now = trials_per_case(pairs.base), trials_per_case(pairs.candidate)
    cases = count_of(len(pairs.cases), "case")
    return f"{cases}, {before:.3g} baseline and {now:.3g} candidate {'trial' if now == 1 else 'trials'}"


def _interval_text(rule: Rule, low: float, high: float, spell: Callable[[float], str]) -> str:
    level = f"{100 * (1 - 2 * rule.alpha):.3g}% interval"
    if not (isfinite(low) or isfinite(high)):
        return f"too little data for a {level}"
    ends = [spell(bound) if isfinite(bound) else "unknown" for bound in (low, high)]
    return f"{level} {ends[0]} to {ends[1]}"


def _harm_noun(scale: Scale) -> str:
    return "drop" if scale.sign < 0 else "rise"


def change_sentence(
    rule: Rule, outcome: Outcome, evidence: Evidence, missing: Mapping[str, int]
) -> str:
    """A rule with `max_drop` or `max_rise`, decided by its test."""
    unit, scale, demand = evidence.pairs.info.unit, evidence.scale, evidence.demand
    change = scale.as_change(evidence.harm)
    low, high = sorted(map(scale.as_change, (evidence.harm_low, evidence.harm_high)))
    extra = digits_apart(
        (
            (change, scale.as_change(demand.max_drop)),
            (scale.as_change(evidence.harm_high), scale.as_change(demand.tolerated)),
        ),
        lambda number, digits: change_text(number, unit, digits),
    )
    interval = _interval_text(
        rule, low, high, lambda bound: change_text(bound, unit, extra).removesuffix(" pt")
    )
    changed = change_text(change, unit, extra) + (" in a typical case" if scale.is_log else "")
    sizes = _sizes_text(evidence.pairs)
    if rule.estimand == "users":
        sizes = (
            f"for other cases like these; {_clusters_text(evidence)}, {sizes.partition(', ')[2]}"
        )
    sentences = (
        f"{outcome.upper()} {name_rule(rule)} {_before_and_now(evidence, unit)}",
        f"({changed}, {interval}; {sizes}).",
        _finding_text(rule, outcome, evidence),
        _hardest_text(evidence.hits, unit) if outcome != "pass" else "",
        _left_out_text(missing),
    )
    return " ".join(filter(None, sentences))


def _before_and_now(evidence: Evidence, unit: str) -> str:
    extra = digits_apart(
        [(evidence.base, evidence.candidate)] if evidence.is_large else [],
        lambda number, digits: value_text(number, unit, digits),
    )
    return (
        f"{value_text(evidence.base, unit, extra)} -> {value_text(evidence.candidate, unit, extra)}"
    )


def _limit_on_change_text(rule: Rule, scale: Scale, base: float, unit: str, limit: float) -> str:
    """A limit on harm as the rule gives it: a share or points, or the absolute change that exceeds it."""
    size = limit_text(abs(scale.as_change(limit)), unit)
    if rule.and_at_least is not None and limit == least_harm(rule, scale, base):
        size = bound_text(rule.and_at_least, unit)
    return f"{_harm_noun(scale)} of {size}"


def _shared_text(rule: Rule, demand: Demand) -> str:
    """Why a p-value is held to less than the rule's alpha; empty when it is not."""
    if demand.alpha == rule.alpha:
        return ""
    others = round(rule.alpha / demand.alpha)
    return f" (alpha {rule.alpha:g} is shared by {others} thresholds)"


def _finding_text(rule: Rule, outcome: Outcome, evidence: Evidence) -> str:
    """What a comparison proves, rules out, or leaves open."""
    scale, demand, unit = evidence.scale, evidence.demand, evidence.pairs.info.unit
    shared = _shared_text(rule, demand)
    chance = odds_text(evidence.p_value, demand.alpha)
    if evidence.p_value <= evidence.smallest_p:
        chance = chance.replace("about", "at most")
    odds = f"if nothing had changed, a result this bad would come up {chance}"
    is_weighed = (evidence.p_plain <= demand.alpha) != (evidence.p_value <= demand.alpha)
    if is_weighed:
        odds = f"weighed by how stable each case was, {odds}"
    allowed, tolerated = (
        _limit_on_change_text(rule, evidence.scale, evidence.base, unit, limit)
        for limit in (demand.max_drop, demand.tolerated)
    )
    if outcome == "fail":
        return f"{odds[0].upper()}{odds[1:]}."
    if outcome == "pass":
        return f"A {tolerated} is ruled out."
    if evidence.smallest_p > demand.alpha:
        return (
            f"A {tolerated} is not ruled out, and none could have been proven: so few differences give "
            f"no p-value below {evidence.smallest_p:.2g}, and {demand.alpha:.3g} is needed{shared}."
        )
    if demand.alpha < evidence.p_value <= rule.alpha and evidence.is_large and evidence.leans:
        return (
            f"The {_harm_noun(scale)} is not proven: {odds}, and less than "
            f"{odds_text(demand.alpha, 1).removeprefix('about ')} is needed{shared}."
        )
    if evidence.is_ruled_out:
        return f"A {tolerated} is ruled out, but a {allowed} is not, and it may be real: {odds}."
    if evidence.is_offset:
        return (
            f"A {tolerated} is not ruled out, and none is proven, as stable cases got worse but others "
            f"got better: {odds}."
        )
    if is_weighed and evidence.p_plain <= demand.alpha:
        return (
            f"A {tolerated} is not ruled out, and none is proven, as what got worse is mostly what "
            f"wavered before: {odds}."
        )
    if evidence.leans and evidence.p_value <= demand.alpha:
        return f"It is worse ({odds}), though by less than the {allowed} allowed; a {tolerated} is not ruled out."
    return f"A {tolerated} is not ruled out, and none is proven: {odds}."


def _chance_text(chance: float) -> str:
    return f"{min(int(100 * chance), 99)}%"


def plan_text(evidence: Evidence, cost_per_run: float | None) -> str:
    """What would decide an inconclusive comparison: trials, their cost, and with what chance."""
    design = evidence.design
    if design is None:
        cases = len(evidence.pairs.cases)
        needed = cases_for_bound(evidence)
        if needed is None:
            return "More cases, or more trials of each, would narrow the interval."
        return (
            f"About {needed:,} cases like these ({cases:,} now) would decide, if the change stays."
        )
    trials, chance = trials_to_decide(design, evidence.demand, -evidence.harm)
    runs = trials * design.cases
    cost = f", about ${cost_per_run * runs:,.2f}" if cost_per_run else ""
    plan = f"{trials} trials per case (--trials {trials}: {runs:,} runs{cost})"
    if chance >= WANTED_POWER:
        return f"{plan} would decide with {_chance_text(chance)} chance."
    advice = (
        "add cases" if design.base_trials >= 10 else "add cases, or record more baseline trials"
    )
    return f"Even {plan} would decide with only {_chance_text(chance)} chance; {advice}."


def sight_text(rule: Rule, evidence: Evidence) -> str:
    """What a comparison could see at all, and how often it fails an agent that did not change."""
    noun = _harm_noun(evidence.scale)
    if evidence.smallest_harm is None:
        seen = f"is too small to fail any {noun} 4 times in 5"
    else:
        smallest = abs(evidence.scale.as_change(evidence.smallest_harm))
        size = change_text(smallest, evidence.pairs.info.unit).lstrip("+")
        seen = f"fails a {noun} of {size} 4 times in 5"
    alarm = "never fails"
    if evidence.false_alarm:
        alarm = f"at most 1 time in {floor(1 / evidence.false_alarm):,} fails"
    return f"{name_rule(rule)}: this comparison {seen}, and {alarm} an agent that did not change."


def _clusters_text(evidence: Evidence) -> str:
    """What cases like these are a sample of: `100 cases in 12 clusters`."""
    cases = len(evidence.pairs.cases)
    clusters = evidence.users.clusters if evidence.users is not None else cases
    said = count_of(cases, "case")
    return said if clusters == cases else f"{said} in {count_of(clusters, 'cluster')}"


def users_text(rule: Rule, evidence: Evidence) -> tuple[str, ...]:
    """The answer to the question about other cases like these, for a rule that asks about these."""
    users, scale, unit = evidence.users, evidence.scale, evidence.pairs.info.unit
    if users is None:
        return ()
    low, high = sorted(map(scale.as_change, users.bounds))
    interval = _interval_text(
        rule, low, high, lambda bound: change_text(bound, unit).removesuffix(" pt")
    )
    change = change_text(scale.as_change(evidence.harm), unit)
    chance = odds_text(users.test.p_value, rule.alpha)
    if users.test.p_value <= users.test.smallest_p:
        chance = chance.replace("about 1", "at most 1")
    said = (
        f"on other cases like these ({_clusters_text(evidence)}) {change} ({interval}); if nothing had "
        f"changed on the whole, a result this bad would come up {chance}."
    )
    return (f"{name_rule(rule)}: {said}",)


def direction_text(rule: Rule, info: MetricInfo) -> tuple[str, ...]:
    """A warning when a rule guards against the change that its metric calls better."""
    if (rule.max_drop is not None) == info.higher_is_better:
        return ()
    guarded, meant = ("drop", "max_rise") if rule.max_drop is not None else ("rise", "max_drop")
    better = "higher" if info.higher_is_better else "lower"
    warning = f"{better} is better, and this rule guards against a {guarded}; was {meant} meant?"
    return (f"{name_rule(rule)}: {warning}",)


def point_sentence(rule: Rule, plain: PlainChange, missing: Mapping[str, int]) -> str:
    """A rule with `max_drop` or `max_rise` that compares the bare numbers."""
    unit, scale = plain.pairs.info.unit, plain.scale
    change, allowed = scale.as_change(plain.harm), scale.as_change(plain.demand.max_drop)
    extra = digits_apart(
        [(change, allowed)], lambda number, digits: change_text(number, unit, digits)
    )
    demanded = plain.demand.max_drop
    limit = f"the {_limit_on_change_text(rule, scale, plain.base, unit, demanded)} allowed"
    before, now = (value_text(value, unit, extra) for value in (plain.base, plain.candidate))
    sentences = (
        f"{plain.outcome.upper()} {name_rule(rule)} {before} -> {now}",
        f"({change_text(change, unit, extra)}; {_sizes_text(plain.pairs)}).",
        f"More than {limit}." if plain.outcome == "fail" else f"No more than {limit}.",
        _hardest_text(plain.hits, unit) if plain.outcome == "fail" else "",
        _left_out_text(missing),
    )
    return " ".join(filter(None, sentences))


def scored_text(scored: int, due: int, missing: Mapping[str, int]) -> str:
    """How much of what should have been scored was: `96 of 100 scored, 4 agent errors`."""
    if scored == due:
        return f"{count_of(scored, 'trial')}"
    return f"{scored:,} of {due:,} scored, {missing_text(missing)}"


def limit_sentence(rule: Rule, outcome: Outcome, reading: Reading) -> str:
    """A rule with `min` or `max`, decided by the interval or by the bare number."""
    unit = reading.unit
    limit = rule.min if rule.min is not None else rule.max or 0.0
    low, high = reading.interval
    is_point = rule.test == "point"
    extra = digits_apart(
        [(reading.value, limit)] if is_point else [(low, limit), (high, limit)],
        lambda number, digits: value_text(number, unit, digits),
    )
    spell = partial(value_text, unit=unit, extra=extra)
    interval = "" if is_point else f"{_interval_text(rule, low, high, spell)}; "
    bound = bound_text(limit, unit)
    wanted = f"at least {bound} is wanted" if rule.min is not None else f"at most {bound} is wanted"
    beyond = "below" if rule.min is not None else "above"
    finding = {
        "fail": f"{wanted}, and the whole interval is {beyond} it",
        "pass": f"{wanted}, and the whole interval keeps to it",
        "inconclusive": f"{wanted}, and the interval reaches to both sides of it",
    }
    sizes = f"{count_of(reading.cases, 'case')}, "
    sizes += scored_text(reading.scored, reading.due, reading.missing)
    said = wanted if is_point else finding.get(outcome, wanted)
    return (
        f"{outcome.upper()} {name_rule(rule)} {spell(reading.value)} ({interval}{sizes}). "
        f"{said[0].upper()}{said[1:]}."
    )


def limit_plan_text(rule: Rule, reading: Reading) -> str:
    """What would decide an inconclusive absolute limit."""
    cases = cases_to_decide(rule, reading)
    if cases is None:
        return "The value is too near its limit, or the data too few, for more cases to promise a decision."
    return f"About {cases:,} cases like these ({reading.cases:,} now) would decide, if the value stays."


def regressed_sentence(rule: Rule, outcome: Outcome, hits: Sequence[CaseHit], unknown: int) -> str:
    """A rule with `max_regressed`: which cases passed in the baseline and do not now."""
    allowed = f"at most {rule.max_regressed} allowed"
    named = f": {_first_hits_text(hits)}" if hits else ""
    said = f"{outcome.upper()} {name_rule(rule)}: {len(hits)}, {allowed}{named}."
    if unknown:
        said += f" {count_of(unknown, 'case')} that passed in the baseline without a complete trial now."
    return said


def broken_sentence(
    rule: Rule, outcome: Outcome, hits: Sequence[CaseHit], suspects: int, untold: str
) -> str:
    """A rule with `broken_cases`: which cases are proven broken, of how many that were run again."""
    named = f": {_first_hits_text(hits)}" if hits else ""
    said = (
        f"{outcome.upper()} {name_rule(rule)}: {len(hits)} proven, at most {rule.broken_cases} allowed"
        f"{named}."
    )
    if suspects:
        said += f" {count_of(suspects, 'stable case')} newly failed and had fresh trials."
    elif not untold:
        said += " No case that had been stable failed."
    return said + untold


def must_pass_sentence(
    rule: Rule, outcome: Outcome, cases: int, hits: Sequence[CaseHit], unknown: int
) -> str:
    """A rule with `must_pass`: which cases have a trial that failed."""
    said = f"{outcome.upper()} {name_rule(rule)}: "
    if hits:
        said += f"{len(hits)} of {count_of(cases, 'case')} failed: {_first_hits_text(hits)}."
    else:
        said += f"no trial of {count_of(cases, 'case')} failed."
    return said + (f" {count_of(unknown, 'case')} without a complete trial." if unknown else "")


def undecided_sentence(rule: Rule, why: str) -> str:
    """A rule that cannot be applied: why, and what to do."""
    return f"UNDECIDED {name_rule(rule)}: {why}{'' if why.endswith(('.', '?')) else '.'}"
