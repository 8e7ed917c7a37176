"""Which cases of a set are run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import InvalidInput, NothingSelected
from evalkit.core.eval_set import Case
from evalkit.evalset.selection import Selection, Shard, parse_expression, parse_shard, select_cases

CASES = (
    Case(id="refund-window", input="", tags=("refunds", "typo")),
    Case(id="refund-german", input="", tags=("refunds", "language")),
    Case(id="Shipping-cost", input="", tags=("shipping",)),
)


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("refund", [0, 1]),
        ("refunds and not language", [0]),
        ("typo or shipping", [0, 2]),
        ("not refunds", [2]),
        ("refund and (typo or language)", [0, 1]),
        ("not (typo or language)", [2]),
        ("not not typo", [0]),
        ("shipping-COST", [2]),
        ("typo or language and shipping", [0]),
    ],
)
def test_an_expression_selects_by_words_of_id_and_tags(expression: str, chosen: list[int]) -> None:
    selected = select_cases(CASES, Selection(expression=expression))
    assert selected == tuple(CASES[index] for index in chosen)


@pytest.mark.parametrize(
    "expression",
    ["", " ", "and", "a or", "(a", "a)", "a b", "not", "()", "or a", "(" * 5000, "not " * 5000],
)
def test_an_expression_that_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput, match="-k"):
        parse_expression(expression)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(expression: str) -> None:
    try:
        parse_expression(expression)
    except InvalidInput:
        pass
    else:
        assert expression.strip()


def test_conditions_add_up() -> None:
    selection = Selection(tags=("refunds",), expression="german", only=frozenset({CASES[1].id}))
    assert select_cases(CASES, selection) == (CASES[1],)
    with pytest.raises(NothingSelected, match="--tag refunds"):
        select_cases(CASES, Selection(tags=("refunds",), expression="shipping"))


def test_an_unknown_id_is_refused_even_beside_known_ones() -> None:
    with pytest.raises(InvalidInput, match="'nope'"):
        select_cases(CASES, Selection(case_ids=("refund-window", "nope")))


@given(st.integers(1, 40), st.integers(1, 12))
def test_shards_share_out_every_case_once(count: int, shards: int) -> None:
    cases = tuple(Case(id=str(number), input="") for number in range(count))
    selections = [Selection(shard=Shard(index=i, count=shards)) for i in range(1, shards + 1)]
    if count < shards:
        with pytest.raises(InvalidInput, match=f"at most {count} shards"):
            select_cases(cases, selections[0])
        return
    parts = [select_cases(cases, selection) for selection in selections]
    assert sorted(case.id for part in parts for case in part) == sorted(case.id for case in cases)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="2/8"):
        parse_shard(text)
