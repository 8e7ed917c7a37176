"""Normalize the inputs and labels of cases, by which a set is known whatever its name and ids."""

from __future__ import annotations

import re

from evalkit.core.eval_set import Case
from evalkit.core.serialization import canonical_json
from evalkit.core.unicode_form import compose_compatible

_WORD = re.compile(r"\w+")


def normalize_input(case: Case) -> str:
    """Return the input of a case without case, punctuation, spaces, and forms of characters."""
    turns = case.input if not isinstance(case.input, str) else ()
    text = " ".join(turn.content for turn in turns) if turns else str(case.input)
    return _join_words(text) or text


def normalize_case(case: Case) -> tuple[str, str]:
    """Return the normalized input and expected answer of a case."""
    return normalize_input(case), _join_words(canonical_json(case.expected))


def _join_words(text: str) -> str:
    return " ".join(_WORD.findall(compose_compatible(text).casefold()))
