"""Build the check of a rule with `max_drop` or `max_rise` from its evidence: sentence, numbers, notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import floor, inf

from evalkit.compare.estimates import TrialValues
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.preferences import describe_preferences
from evalkit.core.eval_set import Rule
from evalkit.core.format import (
    find_distinct_digits,
    format_change,
    format_count,
    format_missing,
    format_odds,
    format_value,
    name_rule,
)
from evalkit.core.gate_result import Check, PopulationTest
from evalkit.core.literals import Outcome
from evalkit.gate.checked_rule import CheckWithNotes
from evalkit.gate.evidence import (
    Evidence,
    PointComparison,
    decide_paired,
)
from evalkit.gate.findings import describe_finding, describe_limit, explain_impossible_harm
from evalkit.gate.phrases import finite_or_none, format_hits, format_interval, format_sample
from evalkit.gate.plans import plan_text
from evalkit.gate.rule_warnings import warn_of_blind_spot, warn_of_direction
from evalkit.gate.traffic import describe_weights
from evalkit.stats.intervals import Interval

_MAX_NAMED_HITS = 3


def check_change(
    rule: Rule, evidence: Evidence, missing: Mapping[str, int], cost_per_trial: float | None
) -> CheckWithNotes:
    """Decide a rule by its test; `missing` counts the candidate's trials without a score, by reason."""
    outcome = decide_paired(evidence)
    scale = evidence.scale
    low, high = _as_changes(evidence, evidence.bounds)
    display_low, display_high = _as_changes(evidence, evidence.display)
    detectable = evidence.detectable_harm
    is_suite = rule.estimand == "suite"
    check = replace(
        _start_check(rule, outcome, _change_sentence(rule, outcome, evidence, missing), evidence),
        low=finite_or_none(low),
        high=finite_or_none(high),
        display_low=finite_or_none(display_low),
        display_high=finite_or_none(display_high),
        p_value=evidence.p_value,
        false_alarm=evidence.false_alarm,
        smallest_detectable=None
        if detectable is None
        else finite_or_none(abs(scale.as_change(detectable))),
        users=_to_population_test(evidence) if is_suite else None,
        to_decide=plan_text(rule, evidence, cost_per_trial) if outcome == "inconclusive" else "",
        preference=evidence.preference,
    )
    impossible = explain_impossible_harm(rule, evidence)
    is_blind = evidence.design is not None and not impossible
    power = impossible or _detectable_harm_text(evidence)
    population = tuple(_population_texts(rule, evidence)) if is_suite else ()
    # That no result could fail is more than a number.
    asides = population if impossible or detectable is None else (power, *population)
    notes = (
        power,
        *population,
        *describe_weights(rule, evidence),
        *warn_of_direction(rule, evidence.pairs),
        *(warn_of_blind_spot(rule, evidence.base) if is_blind else ()),
    )
    name = name_rule(rule)
    return CheckWithNotes(
        check,
        notes=tuple(f"{name}: {note}" for note in notes),
        asides=tuple(f"{name}: {aside}" for aside in asides),
    )


def check_points(rule: Rule, points: PointComparison, missing: Mapping[str, int]) -> Check:
    """Decide a rule with `test: point` by the plain numbers."""
    return _start_check(rule, points.outcome, _point_sentence(rule, points, missing), points)


def _start_check(
    rule: Rule, outcome: Outcome, sentence: str, compared: Evidence | PointComparison
) -> Check:
    pairs = compared.pairs
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=sentence,
        baseline=compared.base,
        candidate=compared.candidate,
        difference=finite_or_none(compared.scale.as_change(compared.harm)),
        cases=len(pairs.cases),
        base_trials=_trials_per_case(pairs.base),
        trials=_trials_per_case(pairs.candidate),
        hits=tuple(replace(hit, metric=pairs.info.name) for hit in compared.hits),
    )


def _as_changes(evidence: Evidence, harms: Interval) -> list[float]:
    return _clip_changes(evidence, sorted(map(evidence.scale.as_change, harms)))


def _to_population_test(evidence: Evidence) -> PopulationTest | None:
    users = evidence.population
    if users is None:
        return None
    low, high = _as_changes(evidence, users.bounds)
    return PopulationTest(
        clusters=users.clusters,
        p_value=users.test.p_value,
        low=finite_or_none(low),
        high=finite_or_none(high),
    )


def _trials_per_case(rows: TrialValues) -> float:
    return sum(map(len, rows)) / len(rows)


def _sizes_text(pairs: PairedScores, cases: str = "") -> str:
    before, now = _trials_per_case(pairs.base), _trials_per_case(pairs.candidate)
    trials = f"{before:.3g} baseline and {now:.3g} candidate {'trial' if now == 1 else 'trials'}"
    return f"{cases or format_count(len(pairs.cases), 'case')}, {trials}"


def _clip_changes(evidence: Evidence, changes: Sequence[float]) -> list[float]:
    """Return the ends of an interval of changes within what the values allow."""
    values = list(chain(*evidence.pairs.base, *evidence.pairs.candidate))
    if evidence.scale.is_log or min(values) < 0:
        return list(changes)
    # A share of 0 to 1 changes by 1 at most, and no latency falls by more than all of it.
    is_share = not evidence.pairs.info.unit and max(values) <= 1
    return [min(max(change, -1.0), 1.0 if is_share else inf) for change in changes]


def _interval_text(rule: Rule, evidence: Evidence, bounds: Interval, extra: int = 0) -> str:
    unit = evidence.pairs.info.unit
    low, high = _as_changes(evidence, bounds)
    return format_interval(
        rule, low, high, lambda end: format_change(end, unit, extra).removesuffix(" pt")
    )


def _closing_texts(
    compared: Evidence | PointComparison, missing: Mapping[str, int], *, names_hits: bool
) -> Iterator[str]:
    """Yield the most affected cases and the missing trials."""
    if compared.hits and names_hits:
        hits = format_hits(compared.hits[:_MAX_NAMED_HITS], compared.pairs.info.unit)
        how = "in" if compared.hits[0].is_count else "by mean"
        yield f"Most affected {how} {compared.pairs.info.name}: {hits}."
    if missing:
        yield f"Left out: {format_missing(missing)}."


def _change_sentence(
    rule: Rule, outcome: Outcome, evidence: Evidence, missing: Mapping[str, int]
) -> str:
    unit, scale, limits = evidence.pairs.info.unit, evidence.scale, evidence.limits
    change = scale.as_change(evidence.harm)
    # Enough digits to separate a number from its limit.
    extra = find_distinct_digits(
        (
            (change, scale.as_change(limits.max_drop)),
            (scale.as_change(evidence.bounds.high), scale.as_change(limits.tolerated)),
        ),
        lambda number, digits: format_change(number, unit, digits),
    )
    changed = format_change(change, unit, extra)
    sizes = _sizes_text(evidence.pairs)
    if rule.estimand == "users":
        sizes = f"for other cases like these; {_sizes_text(evidence.pairs, _sample_text(evidence))}"
    if rule.estimand == "traffic":
        sizes = f"weighed by traffic; {sizes}"
    before, now = _before_and_now(evidence, unit)
    sentences = (
        f"{outcome.upper()} {name_rule(rule)} {before} -> {now}{' in a typical case' * scale.is_log}",
        f"({changed}, {_interval_text(rule, evidence, evidence.bounds, extra)}; {sizes}).",
        *([f"Cases: {describe_preferences(counts)}."] if (counts := evidence.preference) else []),
        describe_finding(rule, outcome, evidence),
        *_closing_texts(evidence, missing, names_hits=outcome != "pass"),
    )
    return " ".join(sentences)


def _before_and_now(evidence: Evidence, unit: str) -> list[str]:
    extra = find_distinct_digits(
        [(evidence.base, evidence.candidate)] if evidence.is_large else [],
        lambda number, digits: format_value(number, unit, digits),
    )
    return [format_value(value, unit, extra) for value in (evidence.base, evidence.candidate)]


def _detectable_harm_text(evidence: Evidence) -> str:
    """Return what a comparison can detect, and how often it fails an unchanged agent."""
    scale, noun = evidence.scale, evidence.scale.noun
    power = f"is too small to fail any {noun}"
    if evidence.preference is not None:
        power = f"has too few cases that are won or lost to fail any {noun}"
    if evidence.detectable_harm is not None:
        smallest = format_change(
            abs(scale.as_change(evidence.detectable_harm)), evidence.pairs.info.unit
        )
        power = f"fails a {noun} of {smallest.lstrip('+')}"
    rate, unchanged = evidence.false_alarm, "an agent that did not change"
    subject, how = "this comparison", "at most"
    if evidence.looks:
        subject, how = f"a run of up to {format_count(evidence.looks, 'trial')} per case", "about"
    false_alarm = ""
    if rate:
        false_alarm = f", and {how} 1 time in {floor(1 / rate):,} fails {unchanged}"
    elif evidence.detectable_harm is not None:
        false_alarm = f", and hardly ever fails {unchanged}"
    return f"{subject} {power} 4 times in 5{false_alarm}."


def _sample_text(evidence: Evidence) -> str:
    users, cases = evidence.population, len(evidence.pairs.cases)
    clusters = None if users is None or users.clusters == cases else users.clusters
    return format_sample(cases, clusters)


def _population_texts(rule: Rule, evidence: Evidence) -> Iterator[str]:
    """Yield the result for other cases like these, as a note on a rule about these cases."""
    users, scale, unit = evidence.population, evidence.scale, evidence.pairs.info.unit
    if users is None:
        return
    interval = _interval_text(rule, evidence, users.bounds)
    change = format_change(scale.as_change(evidence.harm), unit)
    chance = format_odds(users.test.p_value, rule.alpha)
    if users.test.p_value <= users.test.smallest_p:
        chance = chance.replace("about 1", "at most 1")
    excludes_0 = users.bounds.low > 0
    if excludes_0 != (users.test.p_value <= rule.alpha):
        chance += " (by an exact test; the interval is approximate)"
    yield (
        f"on other cases like these ({_sample_text(evidence)}) {change} ({interval}); if nothing had "
        f"changed on the whole, a result this bad would come up {chance}."
    )


def _point_sentence(rule: Rule, points: PointComparison, missing: Mapping[str, int]) -> str:
    unit, scale, outcome = points.pairs.info.unit, points.scale, points.outcome
    allowed = points.limits.max_drop
    change = scale.as_change(points.harm)
    extra = find_distinct_digits(
        [(change, scale.as_change(allowed))],
        lambda number, digits: format_change(number, unit, digits),
    )
    before, now = (format_value(value, unit, extra) for value in (points.base, points.candidate))
    amount = "more than" if outcome == "fail" else "within"
    sentences = (
        f"{outcome.upper()} {name_rule(rule)} {before} -> {now}",
        f"({format_change(change, unit, extra)}; {_sizes_text(points.pairs)}).",
        f"This is {amount} the {describe_limit(rule, points, allowed)} allowed.",
        *_closing_texts(points, missing, names_hits=outcome == "fail"),
    )
    return " ".join(sentences)
