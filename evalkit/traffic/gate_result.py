"""Combine the thresholds of traffic into one result, with what a reader has to know about the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.core.eval_set import TrafficSection
from evalkit.core.format import format_count
from evalkit.core.gate_result import Check, GateResult, Tally
from evalkit.core.literals import TRIAL_STATES, Outcome
from evalkit.gate.outcome import combine_outcomes, exit_code_of, lead_sentence, policy_notes
from evalkit.traffic.gate_checks import check_rules
from evalkit.traffic.gate_records import RuleData, TrafficCheck
from evalkit.traffic.periods import Period

MAX_TOP_SHARE = 0.2
"""A user with more of the requests is worth a note."""
MAX_UNKNOWN_USERS = 0.01
ENOUGH_PERIODS = 4
"""With so many earlier periods, Student's quantile is 2.4; with two, it is 6.3."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficGate:
    """The result of a gate on traffic, with its data."""

    result: GateResult
    checks: tuple[TrafficCheck, ...]
    candidate: Period
    earlier: tuple[Period, ...]
    is_concurrent: bool = False


def decide_traffic(
    section: TrafficSection,
    datas: Sequence[RuleData],
    candidate: Period,
    earlier: Sequence[Period],
    *,
    is_concurrent: bool,
) -> TrafficGate:
    """Decide all thresholds of a section, and combine them into one result."""
    checks = check_rules(datas)
    plain = [each.check for each in checks]
    problems = list(dict.fromkeys(text for data in datas for text in data.shared_problems))
    outcome = _combine(plain, is_incomplete=bool(problems))
    reason = lead_sentence(outcome, plain).removeprefix(f"{outcome.upper()} ")
    if problems:
        failed = sum(each.outcome == "fail" for each in plain)
        held = f" {format_count(failed, 'threshold')} failed on what there is." if failed else ""
        reason = f"The traffic is incomplete: {'; '.join(problems)}.{held}"
    counts = dict.fromkeys(TRIAL_STATES, 0)
    # A request takes the place of a trial.
    tally = Tally(selected=candidate.requests, counts={**counts, "scored": candidate.requests})
    result = GateResult(
        outcome=outcome,
        exit_code=exit_code_of(outcome, section.on_inconclusive),
        reason=reason,
        tally=tally,
        checks=tuple(plain),
        notes=(
            *policy_notes(outcome, plain, tally, section.on_inconclusive),
            *_list_notes(checks, candidate, earlier, is_concurrent=is_concurrent),
        ),
    )
    return TrafficGate(
        result=result,
        checks=tuple(checks),
        candidate=candidate,
        earlier=tuple(earlier),
        is_concurrent=is_concurrent,
    )


def _combine(checks: Sequence[Check], *, is_incomplete: bool) -> Outcome:
    """Return the outcome of all thresholds.

    A threshold that failed is decided, whatever another one lacks. Incomplete traffic decides nothing,
    because what is missing may be unlike the rest.
    """
    if is_incomplete:
        return "undecided"
    failed = any(check.outcome == "fail" for check in checks)
    return "fail" if failed else combine_outcomes(checks)


def _list_notes(
    checks: Sequence[TrafficCheck],
    candidate: Period,
    earlier: Sequence[Period],
    *,
    is_concurrent: bool,
) -> Iterator[str]:
    compares = any(each.compared for each in checks)
    if compares and not is_concurrent:
        yield from _explain_periods(len(earlier))
    for period in (candidate, *earlier):
        yield from _explain_users(period)
    keys = frozenset().union(*(period.keys for period in (candidate, *earlier)))
    if compares and len(keys) > 1:
        yield (
            "The users of these imports have pseudonyms by different keys, so that nobody is known to be on "
            "both sides. That makes intervals wider, not narrower."
        )


def _explain_periods(count: int) -> Iterator[str]:
    if count == 1:
        yield (
            "One earlier period cannot show how much periods differ by themselves: a difference is one of "
            "these two, whatever caused it. Name more of them with --against."
        )
    elif count < ENOUGH_PERIODS:
        yield (
            f"{count} earlier periods show the noise between periods roughly, so the intervals are wide; "
            f"{ENOUGH_PERIODS} are better."
        )


def _explain_users(period: Period) -> Iterator[str]:
    if period.unknown_users > MAX_UNKNOWN_USERS * period.requests:
        yield (
            f"{period.label}: the user of {format_count(period.unknown_users, 'request')} is unknown. "
            f"Sessions count as users there, else single requests, so intervals may be too narrow."
        )
    if period.top_share > MAX_TOP_SHARE:
        yield f"{period.label}: {period.top_share:.0%} of the requests are from one user."
    if period.mixed:
        yield (
            f"{period.label}: {format_count(period.mixed, 'request')} left out, because their session has "
            f"several versions or variants."
        )
    if period.retried:
        yield (
            f"{period.label}: {format_count(period.retried, 'failed attempt')} not counted, because the same "
            f"request followed within seconds."
        )
    if period.left_out:
        yield (
            f"{period.label}: {format_count(period.left_out, 'request')} of other days or weekdays left out of comparisons."
        )
    if period.sampled:
        yield (
            f"{period.label}: {format_count(period.sampled, 'request')} of a sample, weighted by the "
            f"probability with which the source kept them."
        )
