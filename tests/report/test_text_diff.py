"""How two answers are compared: by sentence, then by word, and not at all where nothing is alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.report.html.text_diff import compare_texts, mark_texts
from evalkit.report.html.views import DiffPart

TEXTS = st.text(alphabet="ab .!?\n\u2028é", max_size=60)


@given(before=TEXTS, now=TEXTS)
def test_each_side_keeps_its_text_and_marks_only_its_own(before: str, now: str) -> None:
    change = compare_texts(before, now)
    assert "".join(part.text for part in change.before) == before
    assert "".join(part.text for part in change.now) == now
    assert {part.kind for part in change.before} <= {"same", "del"}
    assert {part.kind for part in change.now} <= {"same", "ins"}


def test_a_sentence_that_is_new_is_marked_whole_and_one_that_is_alike_by_word() -> None:
    change = compare_texts(
        "E51 is cancelled. You get your money back in five days. Bye.",
        "A colleague writes to you. You get your money back in two days. Bye.",
    )
    assert change.is_alike
    assert change.before == (
        DiffPart("del", "E51 is cancelled. "),
        DiffPart("same", "You get your money back in "),
        DiffPart("del", "five"),
        DiffPart("same", " days. Bye."),
    )
    assert [part.text for part in change.now if part.kind == "ins"] == [
        "A colleague writes to you. ",
        "two",
    ]


def test_answers_with_nothing_in_common_are_not_struck_out() -> None:
    change = compare_texts("It costs 4.90 euros.", "I am sorry, I do not know that.")
    assert not change.is_alike
    assert change.before == (DiffPart("same", "It costs 4.90 euros."),)
    marked = mark_texts("It costs 4.90 euros; 14.90 abroad.", ["4.90", "EUROS", "is", ""])
    assert [part.text for part in marked if part.kind == "mark"] == ["4.90", "euros"]
    assert mark_texts("nothing", ["["]) == (DiffPart("same", "nothing"),)
