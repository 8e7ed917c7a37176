"""Compare the ids of cases, so that no two of a set can be confused."""

from __future__ import annotations

from evalkit.core.eval_set import Case
from evalkit.core.unicode_form import compose, decompose


def normalize_id(case_id: str) -> str:
    """Return the same text for ids that people or file systems may confuse."""
    if case_id.isascii():
        return case_id.lower()
    # Canonical caseless matching, as in the Unicode Standard, section 3.13, D145.
    return compose(decompose(case_id).casefold())


def describe_duplicate_id(case: Case, first: Case) -> str:
    """Return the message about a case whose id the case `first` has already."""
    if case.id == first.id:
        return f"case {case.id!r}: the case at {first.where} has this id already. Give it another."
    return (
        f"case {case.id!a}: this id differs from {first.id!a} at {first.where} only in letter case or "
        f"Unicode form. Give it another."
    )
