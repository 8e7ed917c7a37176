"""Say the result of a run in one sentence: what changed or is short, by how much, and what is allowed."""

from __future__ import annotations

from typing import NamedTuple

from evalkit.core.format import format_bound, format_limit, name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.run import RunHeader
from evalkit.report import content
from evalkit.report.verdict import odds_text

_MAX_FINDING_CHARS = 60


class Headline(NamedTuple):
    """The result of a run without its outcome word: the finding to emphasize, and the rest."""

    finding: str
    rest: str = ""


def find_headline(header: RunHeader, gate_result: GateResult) -> Headline:
    """Return the reason of a result without what reports show beside it: intervals, sizes, and cases.

    A reason that no threshold gives is returned as it is.
    """
    reason = gate_result.reason
    for check in gate_result.checks:
        brief = _describe_check(check, content.unit_of(header, check))
        start, found, end = reason.partition(check.sentence)
        if brief is not None and found:
            # Something that comes before the threshold, such as an interruption, stays before it.
            if start.strip():
                return Headline("", f"{start}{brief.finding}{brief.rest}{end}")
            return Headline(brief.finding, f"{brief.rest}{end}")
    reason = content.gate_reason(gate_result)
    return Headline(reason) if len(reason) <= _MAX_FINDING_CHARS else Headline("", reason)


def _describe_check(check: Check, unit: str) -> Headline | None:
    """Return what a threshold found; None if only its sentence can say it."""
    if not check.rule.metric or check.candidate is None or check.outcome == "undecided":
        return None
    # A sentence that explains its interval, or that counts preferences, says more than the numbers do.
    if check.preference is not None or "The interval" in check.sentence:
        return None
    if check.rule.max_drop is None and check.rule.max_rise is None:
        return _describe_limit(check, unit)
    return _describe_change(check, unit)


def _describe_limit(check: Check, unit: str) -> Headline:
    rule = check.rule
    now = content.check_cells(check, unit)[1]
    least, bound = ("at least", rule.min) if rule.min is not None else ("at most", rule.max)
    limit = f"; {least} {format_bound(bound or 0.0, unit)} is required"
    interval = ""
    if check.outcome == "inconclusive":
        ends = [content.value_cell(end, unit) for end in (check.low, check.high) if end is not None]
        interval = f", and its interval, {' to '.join(ends)}, includes that" * (len(ends) == 2)
    return Headline(f"{name_rule(rule)} is {now}", f"{limit}{interval}.")


def _describe_change(check: Check, unit: str) -> Headline:
    rule = check.rule
    before, now, change = content.check_cells(check, unit)
    size = change.lstrip("+-").replace(" pt", " points").replace("1.0 points", "1.0 point")
    verb = {"-": "fell", "+": "rose"}.get(change[0])
    name = name_rule(rule)
    moved = f"{name} {verb} {size}" if verb else f"{name} did not change"
    word, limit = ("drop", rule.max_drop) if rule.max_drop is not None else ("rise", rule.max_rise)
    allowed = format_limit(limit or 0.0, unit).replace(" pt", " points")
    about = " on other cases like these" if rule.estimand == "users" else ""
    rest = f"{about}, from {before} to {now}; a {word} of {allowed} is allowed."
    if check.outcome == "inconclusive":
        rest += " Neither a failure nor a pass is proven."
    elif check.outcome == "fail" and (odds := odds_text(check)):
        rest += f" If nothing had changed, {odds}."
    return Headline(moved, rest)
