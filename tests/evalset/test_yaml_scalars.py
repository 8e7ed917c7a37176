"""Texts in YAML that evalkit writes: read back as they are, and never shown as something else."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit.evalset.yaml_scalars import format_scalar


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u202e\u2066\u200f\n \t"))
)
def test_every_text_is_read_back(text: str) -> None:
    assert yaml.safe_load(f"a:\n  b: {format_scalar(text, indent=4)}\n")["a"]["b"] == text


@pytest.mark.parametrize("sign", ["\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"])
def test_what_turns_the_direction_of_text_is_escaped(sign: str) -> None:
    for text in (f"paid {sign}evil", f"two\nlines {sign}evil"):
        assert sign not in format_scalar(text, indent=2)
