"""What was decided into sentences: with the sizes, the odds, the cases, and what would decide more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import floor, isfinite

from evalkit.compare.estimates import MetricEstimate, TrialValues
from evalkit.compare.pairs import PairedScores
from evalkit.core.eval_set import Rule
from evalkit.core.format import (
    find_distinct_digits,
    format_bound,
    format_change,
    format_count,
    format_limit,
    format_missing,
    format_odds,
    format_value,
    name_rule,
)
from evalkit.core.gate_result import CaseContribution
from evalkit.core.literals import Outcome
from evalkit.core.run import MetricInfo
from evalkit.gate.absolute import estimate_cases_for_limit
from evalkit.gate.effect import HarmScale, min_relevant_harm
from evalkit.gate.evidence import Evidence, PointComparison, estimate_cases_to_decide
from evalkit.stats.power import WANTED_POWER, DropLimits, trials_to_decide

_MAX_NAMED_HITS = 3
_MAX_NAMED_FAILURES = 5


def hits_text(hits: Iterable[CaseContribution], unit: str = "") -> str:
    """The cases of a check, with what they did before and do now: `case-17 (10/10 -> 0/2)`."""
    words = []
    for hit in hits:
        if hit.is_count:
            before, now = f"{hit.base:g}/{hit.base_trials}", f"{hit.candidate:g}/{hit.trials}"
        else:
            before, now = format_value(hit.base, unit), format_value(hit.candidate, unit)
        words.append(f"{hit.case_id} ({f'{before} -> {now}' if hit.base_trials else now})")
    return ", ".join(words)


def _failed_cases_text(hits: Sequence[CaseContribution]) -> str:
    left = len(hits) - _MAX_NAMED_FAILURES
    return hits_text(hits[:_MAX_NAMED_FAILURES]) + (f" and {left} more" if left > 0 else "")


def _hardest_text(hits: Sequence[CaseContribution], unit: str) -> str:
    return f"Hit hardest: {hits_text(hits[:_MAX_NAMED_HITS], unit)}." if hits else ""


def _left_out_text(missing: Mapping[str, int]) -> str:
    return f"Left out: {format_missing(missing)}." if missing else ""


def trials_per_case(rows: TrialValues) -> float:
    """The mean number of trials of a case."""
    return sum(map(len, rows)) / len(rows)


def _sizes_text(pairs: PairedScores) -> str:
    before, now = trials_per_case(pairs.base), trials_per_case(pairs.candidate)
    cases = format_count(len(pairs.cases), "case")
    return f"{cases}, {before:.3g} baseline and {now:.3g} candidate {'trial' if now == 1 else 'trials'}"


def _interval_text(rule: Rule, low: float, high: float, spell: Callable[[float], str]) -> str:
    level = f"{100 * (1 - 2 * rule.alpha):.3g}% interval"
    if not (isfinite(low) or isfinite(high)):
        return f"too little data for a {level}"
    ends = [spell(bound) if isfinite(bound) else "unknown" for bound in (low, high)]
    return f"{level} {ends[0]} to {ends[1]}"


def _harm_noun(scale: HarmScale) -> str:
    return "drop" if scale.sign < 0 else "rise"


def change_sentence(
    rule: Rule, outcome: Outcome, evidence: Evidence, missing: Mapping[str, int]
) -> str:
    """A rule with `max_drop` or `max_rise`, decided by its test."""
    unit, scale, demand = evidence.pairs.info.unit, evidence.scale, evidence.limits
    change = scale.as_change(evidence.harm)
    low, high = sorted(map(scale.as_change, (evidence.harm_low, evidence.harm_high)))
    extra = find_distinct_digits(
        (
            (change, scale.as_change(demand.max_drop)),
            (scale.as_change(evidence.harm_high), scale.as_change(demand.tolerated)),
        ),
        lambda number, digits: format_change(number, unit, digits),
    )
    interval = _interval_text(
        rule, low, high, lambda bound: format_change(bound, unit, extra).removesuffix(" pt")
    )
    changed = format_change(change, unit, extra) + (" in a typical case" if scale.is_log else "")
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
    extra = find_distinct_digits(
        [(evidence.base, evidence.candidate)] if evidence.is_large else [],
        lambda number, digits: format_value(number, unit, digits),
    )
    return f"{format_value(evidence.base, unit, extra)} -> {format_value(evidence.candidate, unit, extra)}"


def _limit_on_change_text(
    rule: Rule, scale: HarmScale, base: float, unit: str, limit: float
) -> str:
    """A limit on harm as the rule gives it: a share or points, or the absolute change that exceeds it."""
    size = format_limit(abs(scale.as_change(limit)), unit)
    if rule.and_at_least is not None and limit == min_relevant_harm(rule, scale, base):
        size = format_bound(rule.and_at_least, unit)
    return f"{_harm_noun(scale)} of {size}"


def _shared_alpha_text(rule: Rule, demand: DropLimits) -> str:
    """Why a p-value is held to less than the rule's alpha; empty when it is not."""
    if demand.alpha == rule.alpha:
        return ""
    others = round(rule.alpha / demand.alpha)
    return f" (alpha {rule.alpha:g} is shared by {others} thresholds)"


def _finding_text(rule: Rule, outcome: Outcome, evidence: Evidence) -> str:
    """What a comparison proves, rules out, or leaves open."""
    scale, demand, unit = evidence.scale, evidence.limits, evidence.pairs.info.unit
    shared = _shared_alpha_text(rule, demand)
    chance = format_odds(evidence.p_value, demand.alpha)
    if evidence.p_value <= evidence.smallest_p:
        chance = chance.replace("about", "at most")
    odds = f"if nothing had changed, a result this bad would come up {chance}"
    is_weighed = (evidence.p_unweighted <= demand.alpha) != (evidence.p_value <= demand.alpha)
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
    if demand.alpha < evidence.p_value <= rule.alpha and evidence.is_large and evidence.leans_worse:
        return (
            f"The {_harm_noun(scale)} is not proven: {odds}, and less than "
            f"{format_odds(demand.alpha, 1).removeprefix('about ')} is needed{shared}."
        )
    if evidence.is_ruled_out:
        return f"A {tolerated} is ruled out, but a {allowed} is not, and it may be real: {odds}."
    if evidence.is_offset_by_gains:
        return (
            f"A {tolerated} is not ruled out, and none is proven, as stable cases got worse but others "
            f"got better: {odds}."
        )
    if is_weighed and evidence.p_unweighted <= demand.alpha:
        return (
            f"A {tolerated} is not ruled out, and none is proven, as what got worse is mostly what "
            f"wavered before: {odds}."
        )
    if evidence.leans_worse and evidence.p_value <= demand.alpha:
        return f"It is worse ({odds}), though by less than the {allowed} allowed; a {tolerated} is not ruled out."
    return f"A {tolerated} is not ruled out, and none is proven: {odds}."


def _power_text(chance: float) -> str:
    return f"{min(int(100 * chance), 99)}%"


def plan_text(evidence: Evidence, cost_per_run: float | None) -> str:
    """What would decide an inconclusive comparison: trials, their cost, and with what chance."""
    design = evidence.design
    if design is None:
        cases = len(evidence.pairs.cases)
        needed = estimate_cases_to_decide(evidence)
        if needed is None:
            return "More cases, or more trials of each, would narrow the interval."
        return (
            f"About {needed:,} cases like these ({cases:,} now) would decide, if the change stays."
        )
    trials, chance = trials_to_decide(design, evidence.limits, -evidence.harm)
    runs = trials * design.cases
    cost = f", about ${cost_per_run * runs:,.2f}" if cost_per_run else ""
    plan = f"{trials} trials per case (--trials {trials}: {runs:,} runs{cost})"
    if chance >= WANTED_POWER:
        return f"{plan} would decide with {_power_text(chance)} chance."
    advice = (
        "add cases" if design.base_trials >= 10 else "add cases, or record more baseline trials"
    )
    return f"Even {plan} would decide with only {_power_text(chance)} chance; {advice}."


def detectable_harm_text(rule: Rule, evidence: Evidence) -> str:
    """What a comparison could see at all, and how often it fails an agent that did not change."""
    noun = _harm_noun(evidence.scale)
    if evidence.detectable_harm is None:
        seen = f"is too small to fail any {noun} 4 times in 5"
    else:
        smallest = abs(evidence.scale.as_change(evidence.detectable_harm))
        size = format_change(smallest, evidence.pairs.info.unit).lstrip("+")
        seen = f"fails a {noun} of {size} 4 times in 5"
    alarm = "never fails"
    if evidence.false_alarm:
        alarm = f"at most 1 time in {floor(1 / evidence.false_alarm):,} fails"
    return f"{name_rule(rule)}: this comparison {seen}, and {alarm} an agent that did not change."


def _clusters_text(evidence: Evidence) -> str:
    """What cases like these are a sample of: `100 cases in 12 clusters`."""
    cases = len(evidence.pairs.cases)
    clusters = evidence.population.clusters if evidence.population is not None else cases
    said = format_count(cases, "case")
    return said if clusters == cases else f"{said} in {format_count(clusters, 'cluster')}"


def population_text(rule: Rule, evidence: Evidence) -> tuple[str, ...]:
    """The answer to the question about other cases like these, for a rule that asks about these."""
    users, scale, unit = evidence.population, evidence.scale, evidence.pairs.info.unit
    if users is None:
        return ()
    low, high = sorted(map(scale.as_change, users.bounds))
    interval = _interval_text(
        rule, low, high, lambda bound: format_change(bound, unit).removesuffix(" pt")
    )
    change = format_change(scale.as_change(evidence.harm), unit)
    chance = format_odds(users.test.p_value, rule.alpha)
    if users.test.p_value <= users.test.smallest_p:
        chance = chance.replace("about 1", "at most 1")
    said = (
        f"on other cases like these ({_clusters_text(evidence)}) {change} ({interval}); if nothing had "
        f"changed on the whole, a result this bad would come up {chance}."
    )
    return (f"{name_rule(rule)}: {said}",)


def direction_warning(rule: Rule, info: MetricInfo) -> tuple[str, ...]:
    """A warning when a rule guards against the change that its metric calls better."""
    if (rule.max_drop is not None) == info.higher_is_better:
        return ()
    guarded, meant = ("drop", "max_rise") if rule.max_drop is not None else ("rise", "max_drop")
    better = "higher" if info.higher_is_better else "lower"
    warning = f"{better} is better, and this rule guards against a {guarded}; was {meant} meant?"
    return (f"{name_rule(rule)}: {warning}",)


def point_sentence(rule: Rule, plain: PointComparison, missing: Mapping[str, int]) -> str:
    """A rule with `max_drop` or `max_rise` that compares the bare numbers."""
    unit, scale = plain.pairs.info.unit, plain.scale
    change, allowed = scale.as_change(plain.harm), scale.as_change(plain.limits.max_drop)
    extra = find_distinct_digits(
        [(change, allowed)], lambda number, digits: format_change(number, unit, digits)
    )
    demanded = plain.limits.max_drop
    limit = f"the {_limit_on_change_text(rule, scale, plain.base, unit, demanded)} allowed"
    before, now = (format_value(value, unit, extra) for value in (plain.base, plain.candidate))
    sentences = (
        f"{plain.outcome.upper()} {name_rule(rule)} {before} -> {now}",
        f"({format_change(change, unit, extra)}; {_sizes_text(plain.pairs)}).",
        f"More than {limit}." if plain.outcome == "fail" else f"No more than {limit}.",
        _hardest_text(plain.hits, unit) if plain.outcome == "fail" else "",
        _left_out_text(missing),
    )
    return " ".join(filter(None, sentences))


def scored_text(scored: int, due: int, missing: Mapping[str, int]) -> str:
    """How much of what should have been scored was: `96 of 100 scored, 4 agent errors`."""
    if scored == due:
        return f"{format_count(scored, 'trial')}"
    return f"{scored:,} of {due:,} scored, {format_missing(missing)}"


def limit_sentence(rule: Rule, outcome: Outcome, reading: MetricEstimate) -> str:
    """A rule with `min` or `max`, decided by the interval or by the bare number."""
    unit = reading.unit
    limit = rule.min if rule.min is not None else rule.max or 0.0
    low, high = reading.interval
    is_point = rule.test == "point"
    extra = find_distinct_digits(
        [(reading.value, limit)] if is_point else [(low, limit), (high, limit)],
        lambda number, digits: format_value(number, unit, digits),
    )
    spell = partial(format_value, unit=unit, extra=extra)
    interval = "" if is_point else f"{_interval_text(rule, low, high, spell)}; "
    bound = format_bound(limit, unit)
    wanted = f"at least {bound} is wanted" if rule.min is not None else f"at most {bound} is wanted"
    beyond = "below" if rule.min is not None else "above"
    finding = {
        "fail": f"{wanted}, and the whole interval is {beyond} it",
        "pass": f"{wanted}, and the whole interval keeps to it",
        "inconclusive": f"{wanted}, and the interval reaches to both sides of it",
    }
    sizes = f"{format_count(reading.cases, 'case')}, "
    sizes += scored_text(reading.scored, reading.due, reading.missing)
    said = wanted if is_point else finding.get(outcome, wanted)
    return (
        f"{outcome.upper()} {name_rule(rule)} {spell(reading.value)} ({interval}{sizes}). "
        f"{said[0].upper()}{said[1:]}."
    )


def limit_plan_text(rule: Rule, reading: MetricEstimate) -> str:
    """What would decide an inconclusive absolute limit."""
    cases = estimate_cases_for_limit(rule, reading)
    if cases is None:
        return "The value is too near its limit, or the data too few, for more cases to promise a decision."
    return f"About {cases:,} cases like these ({reading.cases:,} now) would decide, if the value stays."


def regressed_sentence(
    rule: Rule, outcome: Outcome, hits: Sequence[CaseContribution], unknown: int
) -> str:
    """A rule with `max_regressed`: which cases passed in the baseline and do not now."""
    allowed = f"at most {rule.max_regressed} allowed"
    named = f": {_failed_cases_text(hits)}" if hits else ""
    said = f"{outcome.upper()} {name_rule(rule)}: {len(hits)}, {allowed}{named}."
    if unknown:
        said += f" {format_count(unknown, 'case')} that passed in the baseline without a complete trial now."
    return said


def broken_sentence(
    rule: Rule, outcome: Outcome, hits: Sequence[CaseContribution], suspects: int, untold: str
) -> str:
    """A rule with `broken_cases`: which cases are proven broken, of how many that were run again."""
    named = f": {_failed_cases_text(hits)}" if hits else ""
    said = (
        f"{outcome.upper()} {name_rule(rule)}: {len(hits)} proven, at most {rule.broken_cases} allowed"
        f"{named}."
    )
    if suspects:
        said += f" {format_count(suspects, 'stable case')} newly failed and had fresh trials."
    elif not untold:
        said += " No case that had been stable failed."
    return said + untold


def must_pass_sentence(
    rule: Rule, outcome: Outcome, cases: int, hits: Sequence[CaseContribution], unknown: int
) -> str:
    """A rule with `must_pass`: which cases have a trial that failed."""
    said = f"{outcome.upper()} {name_rule(rule)}: "
    if hits:
        said += f"{len(hits)} of {format_count(cases, 'case')} failed: {_failed_cases_text(hits)}."
    else:
        said += f"no trial of {format_count(cases, 'case')} failed."
    return said + (f" {format_count(unknown, 'case')} without a complete trial." if unknown else "")


def undecided_sentence(rule: Rule, why: str) -> str:
    """A rule that cannot be applied: why, and what to do."""
    return f"UNDECIDED {name_rule(rule)}: {why}{'' if why.endswith(('.', '?')) else '.'}"
