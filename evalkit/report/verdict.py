"""Say the result of a run in one sentence, and again in one line, without what tables show beside it."""

from __future__ import annotations

import re
from typing import NamedTuple

from evalkit.core.errors import ApprovalNeeded
from evalkit.core.format import format_bound, format_count, format_limit, name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.literals import Outcome
from evalkit.core.run import RunHeader
from evalkit.core.safe_text import cell_width
from evalkit.report import content
from evalkit.report.model import Report
from evalkit.report.screen import OUTCOME_STYLES, Screen

COMPLETE = "COMPLETE"
"""The word for a shard without errors, which has no thresholds that it could pass."""

_PARTICIPLES: dict[Outcome, str] = {
    "pass": "hold",
    "fail": "failed",
    "inconclusive": "inconclusive",
    "undecided": "undecided",
}
_MAX_PART_CELLS = 40
_ODDS = re.compile(r"a result this bad would come up [^.;(]*\w")


def is_complete_shard(header: RunHeader, gate_result: GateResult) -> bool:
    """Return whether a run is a shard without errors. Only `merge` decides its thresholds."""
    return bool(header.shard) and gate_result.outcome == "pass"


def verdict_word(header: RunHeader, gate_result: GateResult) -> str:
    """Return the outcome as a word; a shard passes nothing, so that it is only complete."""
    if is_complete_shard(header, gate_result):
        return COMPLETE
    return gate_result.word


def verdict_reason(header: RunHeader, gate_result: GateResult) -> str:
    """Return the reason of a result in full, without the word, which reports show before it."""
    if is_complete_shard(header, gate_result):
        return f"shard {header.shard} is complete; it passes no threshold by itself."
    return content.gate_reason(gate_result)


def brief_reason(report: Report) -> str:
    """Return the reason of a result without the intervals, sizes, and cases that tables show."""
    header, result = report.run.header, report.gate_result
    if is_complete_shard(header, result):
        return verdict_reason(header, result)
    reason = result.reason
    for check in result.checks:
        reason = reason.replace(check.sentence, brief_sentence(check, header))
    for word in content.OUTCOME_WORDS.values():
        reason = reason.replace(f"{word}: {word} ", f"{word}: ")
    brief = reason.removeprefix(f"{result.word} ")
    lead = _find_lead(result)
    if result.outcome != "pass" or lead is None:
        return brief
    return f"{brief_sentence(lead, header).removeprefix('PASS ')} {brief}"


def _find_lead(result: GateResult) -> Check | None:
    """Return the threshold to name when all hold: the primary one, else one that compares, else any."""
    named = [each for each in result.checks if has_brief(each) and each.outcome == "pass"]
    return min(
        named,
        key=lambda each: (bool(each.advisory), not each.rule.primary, not each.rule.compares),
        default=None,
    )


class HeadlineNumbers(NamedTuple):
    """The name of the threshold that decides a result, and its numbers: `79.2% -> 60.0%`."""

    rule: str
    text: str


def headline_numbers(report: Report) -> HeadlineNumbers | None:
    """Return the threshold that the reason of a result names first; None if no numbers say it."""
    result = report.gate_result
    found = [
        each
        for each in result.checks
        if has_brief(each) and each.outcome == result.outcome and not each.advisory
    ]
    named = [each for each in found if each.sentence in result.reason]
    check = next(iter(named), None) or (_find_lead(result) if result.outcome == "pass" else None)
    if check is None:
        return None
    before, now, _ = content.check_cells(check, content.unit_of(report.run.header, check))
    return HeadlineNumbers(
        name_rule(check.rule), f"{before} -> {now}" if check.rule.compares else now
    )


def has_brief(check: Check) -> bool:
    """Return whether the numbers of a threshold say what its sentence says."""
    return bool(
        check.rule.metric
        and check.candidate is not None
        and check.outcome != "undecided"
        and check.preference is None
        # An interval that seems to contradict the outcome is explained in the sentence only.
        and "The interval" not in check.sentence
    )


def brief_sentence(check: Check, header: RunHeader) -> str:
    """Return the sentence of a threshold without interval, sizes, and cases, if its numbers suffice."""
    if not has_brief(check):
        return check.sentence
    rule, unit = check.rule, content.unit_of(header, check)
    before, now, change = content.check_cells(check, unit)
    if rule.compares:
        allowed = next(each for each in (rule.max_drop, rule.max_rise) if each is not None)
        about = " for other cases like these" if rule.estimand == "users" else ""
        numbers = (
            f"{before} -> {now}{about}, {_direction(change)}, {format_limit(allowed, unit)} allowed"
            f"{_ruled_out_text(check, unit)}"
        )
    else:
        word, bound = ("least", rule.min) if rule.min is not None else ("most", rule.max)
        limit = "" if bound is None else f", at {word} {format_bound(bound, unit)} required"
        numbers = f"{now}{limit}"
    start = f"{content.OUTCOME_WORDS[check.outcome]} {name_rule(rule)} {numbers}"
    if check.outcome == "inconclusive":
        return f"{start}: neither a failure nor a pass is proven."
    if check.outcome == "fail" and (odds := odds_text(check)):
        return f"{start}. If nothing had changed, {odds}."
    return f"{start}."


def _ruled_out_text(check: Check, unit: str) -> str:
    """Return what a pass rules out if that is more than the change that is allowed."""
    rule = check.rule
    allowed = rule.max_drop if rule.max_drop is not None else rule.max_rise
    if check.outcome != "pass" or rule.test == "point" or rule.margin <= (allowed or 0.0):
        return ""
    return f", {format_limit(rule.margin, unit)} ruled out"


def odds_text(check: Check) -> str:
    """Return the odds of the test that decided, from the sentence; `p_value` is not always those."""
    odds = _ODDS.search(check.sentence)
    return odds[0] if odds else ""


def _direction(change: str) -> str:
    """Return a signed change in words: `down 5.4 pt`."""
    words = {"-": "down", "+": "up"}
    return f"{words[change[0]]} {change[1:]}" if change[0] in words else "unchanged"


def closing_line(report: Report, screen: Screen) -> str:
    """Return the result in one line: word, set, thresholds, size, time, cost, and exit code.

    Where they do not fit, the least important parts are left out, never the word and the exit code.
    """
    header, result = report.run.header, report.gate_result
    word, end = verdict_word(header, result), f"exit {result.exit_code}"
    parts = [
        header.evalset,
        _thresholds_text(header, result),
        _unscored_text(result),
        _scope_text(header),
        "" if report.took_s is None else _duration_text(report.took_s),
        _cost_text(report),
    ]
    # The name and the shard are data.
    kept = [screen.show(part, _MAX_PART_CELLS) for part in parts if part]
    while kept and cell_width("  ".join((word, *kept, end))) > screen.columns:
        kept.pop()
    return "  ".join((screen.paint(word, OUTCOME_STYLES[result.outcome]), *kept, end))


def _thresholds_text(header: RunHeader, result: GateResult) -> str:
    if result.exit_code == ApprovalNeeded.exit_code:
        return "needs approval"
    if result.exit_code > 128:
        return "interrupted"
    if header.shard:
        return f"shard {header.shard}"
    enforced = [check for check in result.checks if not check.advisory]
    alike = sum(check.outcome == result.outcome for check in enforced)
    if not enforced:
        return "no threshold"
    if not alike:
        return "not decided"
    return f"{alike} of {format_count(len(enforced), 'threshold')} {_PARTICIPLES[result.outcome]}"


def _unscored_text(result: GateResult) -> str:
    not_run = result.tally.counts["not_run"]
    errors = result.tally.errors - not_run
    found = (format_count(errors, "error") * bool(errors), f"{not_run:,} not run" * bool(not_run))
    return ", ".join(filter(None, found))


def _scope_text(header: RunHeader) -> str:
    cases = format_count(len(header.cases), "case")
    if len(header.cases) < header.cases_in_set:
        cases = f"{len(header.cases):,} of {format_count(header.cases_in_set, 'case')}"
    return f"{cases} x {header.trials_text}"


def _duration_text(seconds: float) -> str:
    """Return a duration: `4.2 s`, `3 min 20 s`, or `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def _cost_text(report: Report) -> str:
    trials = (*report.run.trials, *report.run.fresh)
    costs = [each.output.cost_usd for each in trials if each.output.cost_usd is not None]
    return content.value_cell(sum(costs), "usd") if costs else ""
