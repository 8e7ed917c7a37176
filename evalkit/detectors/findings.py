"""What a detector found in a text, and how findings that overlap become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Finding(NamedTuple):
    """A value that a detector found.

    Attributes:
        start: index of its first character.
        end: index after its last character.
        kind: what it is: `secret`, `email`, `phone`, `card`, `iban`, or `national_id`.
        value: the value in one spelling, so that `+1 415 555 2671` and `(415) 555-2671` are equal.
        rule: the rule that found it, such as `github-pat`.
    """

    start: int
    end: int
    kind: str
    value: str
    rule: str


def merge_findings(findings: Iterable[Finding], text: str) -> list[Finding]:
    """Return findings in the order of the text; those that overlap become one.

    It is a secret if one of them is, and otherwise of the kind of the first; of those that start at one
    place, the longest is the first.
    """
    merged: list[Finding] = []
    for each in sorted(findings, key=lambda each: (each.start, -each.end)):
        if not merged or each.start >= merged[-1].end:
            merged.append(each)
            continue
        last = merged[-1]
        named = each if each.kind == "secret" != last.kind else last
        end = max(last.end, each.end)
        if named is not last or end > last.end:
            merged[-1] = named._replace(start=last.start, end=end, value=text[last.start : end])
    return merged
