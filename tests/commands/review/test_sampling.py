"""What a person is asked to look at: half of it by lot, the rest for a reason."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.commands.review.reasons import find_new_failures, find_reasons
from evalkit.commands.review.records import REVIEW_REASONS, JudgedAnswer
from evalkit.commands.review.sampling import sample_answers, shuffle_answers
from evalkit.core.judgement import CriterionVerdict, Judgement
from evalkit.core.trial import Score
from tests.support.review_samples import make_answer, make_rubric
from tests.support.run_samples import make_run

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([f"case-{number}" for number in range(12)]),
        st.sampled_from(["yes", "no", "maybe"]),
        st.lists(st.sampled_from(list(REVIEW_REASONS)), unique=True),
        st.sampled_from(["scored", "scored", "scored", "unscored"]),
    ),
    unique_by=lambda row: row[:2],
    max_size=30,
).map(
    lambda rows: [
        make_answer(case, text, whys=whys, trials=[index], state=state)  # type: ignore[arg-type]
        for index, (case, text, whys, state) in enumerate(rows)
    ]
)
SEEDS = st.integers(min_value=0, max_value=5)


def keys(answers: list[JudgedAnswer]) -> set[tuple[str, str]]:
    return {(answer.case, answer.item_digest) for answer in answers}


@given(answers=ANSWERS, size=st.integers(1, 40), seed=SEEDS)
def test_a_sample_has_the_size_asked_for_and_no_answer_twice(
    answers: list[JudgedAnswer], size: int, seed: int
) -> None:
    picked = sample_answers(answers, size, seed)
    can_be_picked = [each for each in answers if each.score.state == "scored" or each.reasons]
    assert len(picked) <= size
    assert len(keys(list(picked))) == len(picked)
    if len(can_be_picked) <= size // 2:
        assert len(picked) == len(can_be_picked)
    elif sum(each.score.state == "scored" for each in answers) >= size:
        assert len(picked) == size


@given(answers=ANSWERS, size=st.integers(1, 40), seed=SEEDS)
def test_what_is_marked_as_drawn_is_where_the_lot_fell_first(
    answers: list[JudgedAnswer], size: int, seed: int
) -> None:
    drawn = keys([each for each in sample_answers(answers, size, seed) if each.is_drawn])
    order = shuffle_answers(answers, seed)
    assert drawn == keys(order[: len(drawn)])
    assert len(drawn) >= min((size + 1) // 2, len(order))


@given(answers=ANSWERS, size=st.integers(1, 40), seed=SEEDS)
def test_what_was_picked_for_a_reason_has_one(
    answers: list[JudgedAnswer], size: int, seed: int
) -> None:
    for each in sample_answers(answers, size, seed):
        assert each.is_drawn or each.reasons


@given(answers=ANSWERS, size=st.integers(1, 40), seed=SEEDS)
def test_a_larger_sample_holds_the_smaller_one(
    answers: list[JudgedAnswer], size: int, seed: int
) -> None:
    small, large = sample_answers(answers, size, seed), sample_answers(answers, size + 1, seed)
    assert keys(list(small)) <= keys(list(large))
    drawn = [keys([each for each in some if each.is_drawn]) for some in (small, large)]
    assert drawn[0] <= drawn[1]


@given(answers=ANSWERS, size=st.integers(1, 40), seed=SEEDS, data=st.data())
def test_the_order_of_the_run_does_not_matter(
    answers: list[JudgedAnswer], size: int, seed: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(answers))
    assert sample_answers(shuffled, size, seed) == sample_answers(answers, size, seed)


@given(answers=ANSWERS, seed=SEEDS)
def test_a_second_answer_of_a_case_is_drawn_when_every_case_has_one(
    answers: list[JudgedAnswer], seed: int
) -> None:
    order = shuffle_answers(answers, seed)
    cases = {answer.case for answer in order}
    assert len({answer.case for answer in order[: len(cases)]}) == len(cases)


def test_the_lot_knows_no_reason() -> None:
    plain = [make_answer(f"case-{number}") for number in range(40)]
    reasoned = [
        make_answer(f"case-{number}", whys=["unsure"] if number % 4 == 0 else [])
        for number in range(40)
    ]
    assert [each.case for each in shuffle_answers(plain, 1)] == [
        each.case for each in shuffle_answers(reasoned, 1)
    ]


def test_a_baseline_and_a_candidate_are_looked_at_on_the_same_cases() -> None:
    base = [make_answer(f"case-{number}", "old") for number in range(40)]
    candidate = [make_answer(f"case-{number}", "new") for number in range(40)]
    drawn = [
        {each.case for each in sample_answers(some, 10, 0) if each.is_drawn}
        for some in (base, candidate)
    ]
    assert drawn[0] == drawn[1]


def test_lots_fall_on_all_cases_alike_and_on_answers_as_often_as_they_were_given() -> None:
    answers = [
        *(make_answer(f"case-{number}") for number in range(9)),
        make_answer("case-9", "often", trials=[0, 1, 2]),
        make_answer("case-9", "seldom", trials=[3]),
    ]
    first = Counter(shuffle_answers(answers, seed)[0].case for seed in range(1000))
    assert all(60 <= first[f"case-{number}"] <= 140 for number in range(10)), first
    of_last = [
        next(
            each for each in shuffle_answers(answers, seed) if each.case == "case-9"
        ).question.answer
        for seed in range(1000)
    ]
    assert 690 <= of_last.count("often") <= 810


def test_reasons_take_turns() -> None:
    answers = [make_answer(f"near-{number}", whys=["near_mark"]) for number in range(20)]
    answers += [make_answer(f"new-{number}", whys=["new_failure"]) for number in range(2)]
    answers += [make_answer(f"plain-{number}") for number in range(60)]
    picked = sample_answers(answers, 12, 3)
    assert {f"new-{number}" for number in range(2)} <= {each.case for each in picked}


def verdict(level: str, *, votes: tuple[str, ...] = (), is_quote: bool = True) -> CriterionVerdict:
    return CriterionVerdict(
        criterion="clear", level=level, value=1.0, votes=votes, is_quote=is_quote
    )


@pytest.mark.parametrize(
    ("score", "newly", "whys"),
    [
        (Score(value=1.0, passed=True), False, []),
        (Score(value=1.0, passed=True), True, []),
        (Score(value=0.0, passed=False), True, ["new_failure"]),
        (Score(value=0.6, passed=False), False, ["near_mark"]),
        (Score(value=0.6, passed=False), True, ["new_failure", "near_mark"]),
        (Score(value=0.3, passed=False), False, []),
        (Score(state="unscored"), False, ["unsure"]),
        (Score(state="judge_error"), False, []),
        (
            Score(
                value=1.0, judgement=Judgement(verdicts=(verdict("good", votes=("good", "bad")),))
            ),
            False,
            ["unsure"],
        ),
        (
            Score(value=1.0, judgement=Judgement(verdicts=(verdict("good", is_quote=False),))),
            False,
            ["unsure"],
        ),
        (
            Score(value=1.0, judgement=Judgement(verdicts=(verdict("good", votes=("good",) * 3),))),
            False,
            [],
        ),
    ],
)
def test_what_speaks_for_looking_at_an_answer(score: Score, newly: bool, whys: list[str]) -> None:
    assert list(find_reasons(score, make_rubric("clear"), newly)) == whys


def test_new_failures_are_of_cases_that_mostly_passed() -> None:
    base = make_run({"m": {"a": [1, 1, 0], "b": [0, 0, 1], "c": [1, 1, 1], "d": [1, 1, 1]}})
    now = make_run({"m": {"a": [0], "b": [0], "c": [1], "d": [0], "e": [0]}})
    assert find_new_failures(now, "m", base) == {"a", "d"}
    assert find_new_failures(now, "m", None) == frozenset()
    assert find_new_failures(now, "other", base) == frozenset()
