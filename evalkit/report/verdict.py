"""Say the result of a run in one sentence, without the intervals, sizes, and cases that tables show.

The sentence has two forms: a short one for terminals and comments, and one in words for pages. Both name
the same threshold with the same numbers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from evalkit.core.format import format_bound, format_limit, name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.literals import COMPLETE
from evalkit.core.run import RunHeader
from evalkit.report import content

_ODDS = re.compile(r"a result this bad would come up [^.;(]*\w")
_MAX_FINDING_CHARS = 60


class Headline(NamedTuple):
    """The result of a run without its outcome word: the finding to emphasize, and the rest."""

    finding: str
    rest: str = ""


class HeadlineNumbers(NamedTuple):
    """The name of the threshold that decides a result, and its values in the baseline and in this run.

    `before` is empty without a baseline.
    """

    rule: str
    before: str
    now: str

    def join(self, arrow: str) -> str:
        """Return both values with an arrow between them, or the one that there is."""
        return f"{self.before} {arrow} {self.now}" if self.before else self.now


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


def brief_reason(header: RunHeader, gate_result: GateResult) -> str:
    """Return the reason of a result in its short form: `facts rate 79.2% -> 60.0%, down 19.2 pt`."""
    if is_complete_shard(header, gate_result):
        return verdict_reason(header, gate_result)
    reason = gate_result.reason
    for check in gate_result.checks:
        reason = reason.replace(check.sentence, _brief_sentence(check, header))
    for word in content.OUTCOME_WORDS.values():
        reason = reason.replace(f"{word}: {word} ", f"{word}: ")
    brief = reason.removeprefix(f"{gate_result.word} ")
    lead = _find_lead(gate_result)
    if gate_result.outcome != "pass" or gate_result.acceptance is not None or lead is None:
        return brief
    return f"{_brief_sentence(lead, header).removeprefix('PASS ')} {brief}"


def find_headline(header: RunHeader, gate_result: GateResult) -> Headline:
    """Return the reason of a result in words: `facts rate fell 19.2 points`, and the rest.

    A reason that no threshold gives is returned as it is.
    """
    if is_complete_shard(header, gate_result):
        return Headline("", verdict_reason(header, gate_result))
    reason = gate_result.reason
    for check in gate_result.checks:
        start, found, end = reason.partition(check.sentence)
        if has_brief(check) and found:
            said = _describe_check(check, header)
            # Something that comes before the threshold, such as an interruption, stays before it.
            if start.strip():
                return Headline("", f"{start}{said.finding}{said.rest}{end}")
            return Headline(said.finding, f"{said.rest}{end}")
    reason = content.gate_reason(gate_result)
    lead = _find_lead(gate_result)
    if gate_result.outcome == "pass" and lead is not None:
        said = _describe_check(lead, header)
        return Headline(said.finding, f"{said.rest} {reason}")
    return Headline(reason) if len(reason) <= _MAX_FINDING_CHARS else Headline("", reason)


def headline_numbers(header: RunHeader, gate_result: GateResult) -> HeadlineNumbers | None:
    """Return the threshold that the reason of a result names first; None if no numbers say it."""
    found = [
        check
        for check in gate_result.checks
        if _has_numbers(check) and check.outcome == gate_result.outcome and not check.advisory
    ]
    named = [check for check in found if check.sentence in gate_result.reason]
    lead = _find_lead(gate_result) if gate_result.outcome == "pass" else None
    check = next((each for each in (*named, lead, *found) if each is not None), None)
    if check is None:
        return None
    before, now, _ = content.check_cells(check, content.unit_of(header, check))
    return HeadlineNumbers(name_rule(check.rule), before if check.rule.compares else "", now)


def _find_lead(result: GateResult) -> Check | None:
    """Return the threshold to name when all hold: the primary one, else one that compares, else any."""
    named = [each for each in result.checks if has_brief(each) and each.outcome == "pass"]
    return min(
        named,
        key=lambda each: (bool(each.advisory), not each.rule.primary, not each.rule.compares),
        default=None,
    )


def has_brief(check: Check) -> bool:
    """Return whether the numbers of a threshold say what its sentence says."""
    # An interval that seems to contradict the outcome is explained in the sentence only.
    return bool(check.rule.metric) and _has_numbers(check) and "The interval" not in check.sentence


def _has_numbers(check: Check) -> bool:
    """Return whether a threshold has a value, and was not decided by preferences."""
    return check.candidate is not None and check.outcome != "undecided" and check.preference is None


def _allowed_change(check: Check) -> tuple[str, float]:
    """Return whether a drop or a rise is limited, and how large it may be."""
    rule = check.rule
    if rule.max_drop is not None:
        return "drop", rule.max_drop
    return "rise", rule.max_rise or 0.0


def _required_value(check: Check, unit: str) -> str:
    """Return the limit on a value: `at least 70%`; empty if there is none."""
    rule = check.rule
    word, bound = ("at least", rule.min) if rule.min is not None else ("at most", rule.max)
    return "" if bound is None else f"{word} {format_bound(bound, unit)}"


def _meaning(check: Check) -> str:
    """Return what follows from an outcome: that nothing is proven, or how rare it is by chance."""
    if check.outcome == "inconclusive":
        return "Neither a failure nor a pass is proven."
    # The odds of the sentence are those of the test that decided, which `p_value` is not always.
    if check.outcome == "fail" and (odds := _ODDS.search(check.sentence)):
        return f"If nothing had changed, {odds[0]}."
    return ""


def _scope(check: Check) -> str:
    scopes = {"users": " for other cases like these", "traffic": " weighed by traffic"}
    return scopes.get(check.rule.estimand, "")


def _ruled_out_text(check: Check, unit: str) -> str:
    """Return what a pass rules out if that is more than the change that is allowed."""
    rule = check.rule
    if check.outcome != "pass" or rule.test == "point" or rule.margin <= _allowed_change(check)[1]:
        return ""
    return f", {format_limit(rule.margin, unit)} ruled out"


def _brief_sentence(check: Check, header: RunHeader) -> str:
    """Return a threshold as numbers, or its own sentence if they do not suffice."""
    if not has_brief(check):
        return check.sentence
    unit = content.unit_of(header, check)
    before, now, change = content.check_cells(check, unit)
    if check.rule.compares:
        allowed = format_limit(_allowed_change(check)[1], unit)
        moved = {"-": f"down {change[1:]}", "+": f"up {change[1:]}"}.get(change[0], "unchanged")
        numbers = f"{before} -> {now}{_scope(check)}, {moved}, {allowed} allowed"
        numbers += _ruled_out_text(check, unit)
    else:
        required = _required_value(check, unit)
        numbers = f"{now}, {required} required" if required else now
    start = f"{content.OUTCOME_WORDS[check.outcome]} {name_rule(check.rule)} {numbers}"
    return " ".join(filter(None, (f"{start}.", _meaning(check))))


def _describe_check(check: Check, header: RunHeader) -> Headline:
    """Return a threshold in words."""
    unit, name = content.unit_of(header, check), name_rule(check.rule)
    before, now, change = content.check_cells(check, unit)
    if not check.rule.compares:
        required = _required_value(check, unit)
        limit = f"; {required} is required" if required else ""
        return Headline(f"{name} is {now}", f"{limit}{_interval_note(check, unit)}.")
    size = change.lstrip("+-").replace(" pt", " points").replace("1.0 points", "1.0 point")
    verb = {"-": "fell", "+": "rose"}.get(change[0])
    moved = f"{name} {verb} {size}" if verb else f"{name} did not change"
    word, most = _allowed_change(check)
    allowed = format_limit(most, unit).replace(" pt", " points")
    rest = f"{_scope(check)}, from {before} to {now}; a {word} of {allowed} is allowed."
    return Headline(moved, " ".join(filter(None, (rest, _meaning(check)))))


def _interval_note(check: Check, unit: str) -> str:
    interval = content.interval_cell(check.low, check.high, unit)
    is_open = check.outcome == "inconclusive" and interval
    return f", and its interval, {interval}, includes that" if is_open else ""
