"""The ranking of labels that are probably wrong: its formula, and what it must never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.compare.suspect_labels import (
    PRIOR_ODDS,
    RATER_ERROR,
    SHARED_ERRORS,
    AnswerEvidence,
    CaseEvidence,
    SuspectLabel,
    rank_suspects,
)


def case(case_id: str, *answers: AnswerEvidence) -> CaseEvidence:
    return CaseEvidence(case_id=case_id, label="L", answers=answers)


def right(versions: int = 1, *, judge: bool | None = None) -> AnswerEvidence:
    return AnswerEvidence(answer="L", fits=True, versions=versions, judge=judge)


WRONG = AnswerEvidence(answer="A", fits=False, versions=1)


def chance_of(suspect: AnswerEvidence, others: list[CaseEvidence]) -> float:
    ranked = rank_suspects([case("x", suspect), *others])
    return next(each.chance for each in ranked if each.case_id == "x")


def odds_of(chance: float) -> float:
    return chance / (1 - chance)


def test_the_odds_are_those_of_the_formula() -> None:
    # Of 10 other cases with 3 versions each, one has two errors that agree and a right answer.
    others = [case(f"c{n}", right(3)) for n in range(9)]
    others.append(case("odd", right(1), replace(WRONG, versions=2)))
    accuracy = (28 + 1) / (30 + 2)
    right_again = (9 * 1 + 0 + 1) / (10 + 1)
    wrong_again = (0 + 1) / (1 + 1)
    found = chance_of(replace(WRONG, versions=3, agents=3), others)
    expected = PRIOR_ODDS * accuracy / (1 - accuracy) * right_again / max(wrong_again, 0.175)
    assert odds_of(found) == pytest.approx(expected)
    # Versions of one agent share their errors, whatever the other cases show.
    found = chance_of(replace(WRONG, versions=3), others)
    expected = PRIOR_ODDS * accuracy / (1 - accuracy) * right_again / SHARED_ERRORS
    assert odds_of(found) == pytest.approx(expected)


def test_a_judge_counts_by_how_well_it_separates_and_people_by_their_errors() -> None:
    others = [case(f"c{n}", right(judge=True)) for n in range(8)]
    others += [case(f"w{n}", replace(WRONG, judge=False)) for n in range(4)]
    without = odds_of(chance_of(WRONG, others))
    accepted = odds_of(chance_of(replace(WRONG, judge=True), others))
    assert accepted / without == pytest.approx((10 / 12) / (2 / 8))
    rejected = odds_of(chance_of(replace(WRONG, judge=False), others))
    assert rejected / without == pytest.approx((2 / 12) / (6 / 8))
    rated = odds_of(chance_of(replace(WRONG, raters_for=2, raters_against=1), others))
    assert rated / without == pytest.approx((1 - RATER_ERROR) / RATER_ERROR)


def test_many_answers_that_fit_count_as_one_verdict() -> None:
    others = [case(f"c{n}", right(judge=n > 0)) for n in range(8)]
    others += [case(f"w{n}", replace(WRONG, judge=False)) for n in range(4)]
    fits = [
        AnswerEvidence(answer=f"L{n}", fits=True, versions=n == 0, judge=False) for n in range(10)
    ]
    many, one = (rank_suspects([case("x", *some), *others]) for some in (fits, fits[:1]))
    assert find(many, "x").chance == pytest.approx(find(one, "x").chance)
    assert not find(many, "x").is_suspect


def test_people_who_rate_something_else_than_the_label_prove_nothing() -> None:
    others = [case(f"c{n}", replace(right(), raters_for=1)) for n in range(9)]
    others += [case(f"w{n}", replace(WRONG, raters_for=1)) for n in range(9)]
    rated, without = (
        odds_of(chance_of(each, others)) for each in (replace(WRONG, raters_for=3), WRONG)
    )
    assert rated / without < 2


def test_a_lenient_judge_is_no_evidence() -> None:
    others = [case(f"c{n}", right(judge=True)) for n in range(8)]
    others += [case(f"w{n}", replace(WRONG, judge=True)) for n in range(8)]
    assert chance_of(replace(WRONG, judge=True), others) == pytest.approx(chance_of(WRONG, others))


def test_people_and_a_judge_can_reject_answers_that_fit_a_label() -> None:
    fits = AnswerEvidence(answer="L", fits=True, versions=1, judge=False, raters_against=3)
    others = [case(f"c{n}", right(judge=True)) for n in range(8)]
    (found,) = rank_suspects([case("x", fits), *others])
    assert found.is_suspect
    assert (found.answer, found.raters_against, found.fitting_versions) == ("", 3, 1)


ANSWERS = st.lists(
    st.builds(
        AnswerEvidence,
        answer=st.text(min_size=1, max_size=2),
        fits=st.booleans(),
        versions=st.integers(0, 6),
        agents=st.integers(1, 3),
        judge=st.sampled_from([None, True, False]),
        raters_for=st.integers(0, 2),
        raters_against=st.integers(0, 2),
    ),
    min_size=1,
    max_size=3,
)


def find(ranked: tuple[SuspectLabel, ...], case_id: str) -> SuspectLabel:
    return next(each for each in ranked if each.case_id == case_id)


@given(st.lists(ANSWERS, min_size=1, max_size=8), st.integers(0, 6))
def test_evidence_moves_the_chance_one_way(rows: list[list[AnswerEvidence]], versions: int) -> None:
    others = [case(f"c{n}", *row) for n, row in enumerate(rows)]
    suspect = replace(WRONG, versions=versions)
    chances = [
        chance_of(each, others)
        for each in (
            replace(suspect, raters_against=1),
            suspect,
            replace(suspect, raters_for=1),
            replace(suspect, raters_for=2),
        )
    ]
    assert chances == sorted(chances)
    assert all(0 <= each.chance <= 1 for each in rank_suspects(others))
    listed = [each.chance for each in rank_suspects(others)]
    assert listed == sorted(listed, reverse=True)


@given(st.lists(ANSWERS, max_size=8), st.integers(1, 20))
def test_versions_of_one_agent_alone_never_prove_a_label_wrong(
    rows: list[list[AnswerEvidence]], versions: int
) -> None:
    others = [case(f"c{n}", *row) for n, row in enumerate(rows)]
    assert not find(
        rank_suspects([case("x", replace(WRONG, versions=versions)), *others]), "x"
    ).is_suspect


def test_without_cases_there_are_no_suspects() -> None:
    assert rank_suspects([]) == ()
