"""Unicode forms are those of the standard library, and take linear time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.unicode_form import compose, compose_compatible, decompose

MARKS = [
    char
    for char in map(chr, range(0x110000))
    if all(map(unicodedata.combining, unicodedata.normalize("NFKD", char)))
]
RUNS = st.lists(st.sampled_from(MARKS), max_size=70).map("".join)
BASES = st.sampled_from([*"aé가ḍ\u1100\u1161ｱﬁ ", "ΐ"])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(BASES, RUNS), max_size=4))
def test_the_forms_are_those_of_the_standard_library(parts: list[tuple[str, str]]) -> None:
    text = "".join(base + run for base, run in parts)
    assert compose(text) == unicodedata.normalize("NFC", text)
    assert compose_compatible(text) == unicodedata.normalize("NFKC", text)
    assert decompose(text) == unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    "run", ["\u0301\u0323", "\u0344\u0323", "\uff9e\u0301", "\u0f73\u0f72\u0f71"]
)
def test_a_long_run_of_marks_takes_linear_time(run: str) -> None:
    text = "a" + run * 30_000
    started = time.process_time()
    for form in (compose, compose_compatible, decompose):
        assert form(form(text)) == form(text)
    # The standard library takes minutes.
    assert time.process_time() - started < 5
