"""Check that the evidence of a verdict is quoted from the answer that it is about."""

from __future__ import annotations

import json
import re
import unicodedata

from evalkit.core.safe_text import one_line
from evalkit.judge.judge import JudgeRequest

_MAX_QUOTED_CHARS = 80
_ELLIPSIS = re.compile(r"[\[(]?\s*(?:\.{2,}|\u2026)\s*[\])]?")
# Models put several quotations on lines of their own, between semicolons, or each in quotation marks.
_SEPARATORS = re.compile(
    r"\n|;|\||[\"\u201c\u201d\u201e\u00ab\u00bb]\W*(?:\w{1,4}\W+)?(?=[\"\u201c\u201d\u201e\u00ab\u00bb])"
)


def find_evidence_problem(evidence: str, request: JudgeRequest) -> str:
    """Return what is wrong with the evidence of a verdict; empty if it is quoted from the answer.

    Empty evidence is allowed, because an answer may lack what a criterion asks for. Case, spaces,
    punctuation, and Markdown do not count, and an ellipsis may replace words.
    """
    if not evidence.strip() or _is_quoted(evidence, request.judged_text):
        return ""
    quoted = repr(one_line(evidence, _MAX_QUOTED_CHARS))
    for name in ("reference", "input", "context"):
        if _is_quoted(evidence, getattr(request, name)):
            return f"is quoted from the {name}, not from the answer: {quoted}"
    return f"does not occur in the answer: {quoted}"


def _is_quoted(evidence: str, source: str) -> bool:
    # The judge reads the texts as JSON, so it may copy an escape of JSON.
    sources = (_reduce(source), _reduce(json.dumps(source)))
    pieces = [piece for piece in _ELLIPSIS.split(evidence) if _reduce(piece)]
    if not pieces:
        return evidence.strip() in source
    if _are_in(pieces, sources):
        return True
    return _are_in([part for piece in pieces for part in _SEPARATORS.split(piece)], sources)


def _are_in(pieces: list[str], sources: tuple[str, ...]) -> bool:
    return any(all(_reduce(piece) in source for piece in pieces) for source in sources)


def _reduce(text: str) -> str:
    """Return the letters, digits, and pictures of a text, in one case and without anything between them."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in plain if _counts(unicodedata.category(char)))


def _counts(category: str) -> bool:
    return category[0] in "LN" or category in ("So", "Sc")
