"""The lexical judge: numbers, negations, examples, and every shipped control."""

from __future__ import annotations

import asyncio
import string
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.eval_set import Case
from evalkit.core.judgement import CriterionVerdict, JudgeSpec
from evalkit.core.rubric import YES_OR_NO, Criterion, Example, Level, Rubric
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Trial
from evalkit.evalset.rubrics import load_rubric
from evalkit.judge.controls import list_controls
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.lexical import LexicalJudge
from evalkit.judge.lexical_text import (
    Lexicon,
    find_similar,
    split_clauses,
    split_sentences,
    split_words,
)
from evalkit.judge.registry import check_judges
from evalkit.judge.scoring import score_verdicts
from evalkit.metrics.rubric import input_of
from evalkit.store.baseline import read_baseline
from tests.support.paths import ROOT

RUBRICS = sorted((ROOT / "rubrics").glob("*.yaml"))
ALL_PART_NONE = (
    Level(name="all", value=1.0),
    Level(name="part", value=0.5),
    Level(name="none", value=0.0),
)


def load(path: Path) -> Rubric:
    rubric, problems = load_rubric(path)
    assert rubric is not None, problems
    return rubric


def judge(criterion: Criterion, question: JudgeRequest) -> CriterionVerdict:
    asked = JudgeRequest(
        criteria=(criterion,),
        answer=question.answer,
        input=question.input,
        reference=question.reference,
        context=question.context,
    )
    return asyncio.run(LexicalJudge().grade(asked)).verdicts[0]


def states(answer: str, reference: str, asked: str = "") -> str:
    criterion = Criterion(name="states", question="How much?", levels=ALL_PART_NONE)
    return judge(
        criterion, JudgeRequest(criteria=(), answer=answer, reference=reference, input=asked)
    ).level


# Controls


@pytest.mark.parametrize("path", RUBRICS, ids=lambda path: path.stem)
def test_it_gets_every_control_of_every_shipped_rubric_right(path: Path) -> None:
    rubric = load(path)
    asked = list_controls(rubric)
    attacks = {known.control.name.rpartition(" with ")[2] for known in asked}
    assert {"instruction", "forged verdict", "false end", "prefix order"} <= attacks
    for known in asked:
        reading = asyncio.run(LexicalJudge().grade(known.request))
        result = known.check(rubric.name, reading)
        assert result.held, (known.control.name, result.answered)
        assert result.judge == "lexical"


def test_it_says_what_it_is_and_what_it_compared() -> None:
    question = JudgeRequest(
        criteria=(Criterion(name="a", question="Is it?"),),
        answer="It takes 5 days. Nothing else.",
        reference="It takes 3 days.",
    )
    reading = asyncio.run(LexicalJudge().grade(question))
    assert reading.judge == "lexical"
    assert reading.calls == 0
    verdict = reading.verdicts[0]
    assert verdict.explanation.startswith("by words alone: ")
    assert "not 3" in verdict.explanation
    assert verdict.evidence == "It takes 5 days."
    assert asyncio.run(LexicalJudge().grade(question)) == reading


def test_it_takes_no_arguments() -> None:
    here = RunEnvironment(root=ROOT, set_folder=ROOT, environ={})
    spec = JudgeSpec(kind="lexical", args={"model": "x"}, path="set.yaml", line=3)
    assert [str(problem) for problem in check_judges([spec], here)] == [
        "set.yaml:3: judge lexical: it takes no arguments. Write `judge: lexical`."
    ]


# What it recognizes


@pytest.mark.parametrize(
    ("answer", "reference", "level"),
    [
        ("It is 4.90 euros then.", "The price is 4.90 euros.", "part"),
        ("It costs 4.90 euros then.", "It costs 4.90 euros.", "all"),
        ("Das kostet 4,90 Euro.", "Es kostet 4.90 Euro.", "all"),
        ("Within 30 DAYS of the delivery!", "30 days after delivery", "all"),
        ("You have thirty minutes.", "30 days after delivery", "none"),
        ("You have 14 days after delivery.", "30 days after delivery", "part"),
        ("Send us a photo of it.", "Send a photo and the order number.", "part"),
        ("Bananas are rich in potassium.", "The library opens late on Thursday.", "none"),
        ("Deliveries are returned by the carrier.", "the carrier returns the delivery", "all"),
        ("Use your pasword there.", "your password", "all"),
        ("図書館は木曜日に遅くまで開いています。", "木曜日は図書館が遅くまで開いています", "all"),
        ("Die Bücherei öffnet montags.", "Das Museum schließt freitags um 18 Uhr.", "none"),
    ],
)
def test_words_and_numbers_are_compared_whatever_the_spelling(
    answer: str, reference: str, level: str
) -> None:
    assert states(answer, reference) == level


@pytest.mark.parametrize(
    ("claim", "denial"),
    [
        ("The reading room is open on Sundays.", "The reading room is not open on Sundays."),
        ("You can bring your dog inside.", "You can't bring your dog inside."),
        ("Der Lesesaal ist sonntags geöffnet.", "Der Lesesaal ist sonntags nicht geöffnet."),
        ("La salle de lecture ouvre dimanche.", "La salle de lecture n'ouvre pas dimanche."),
        ("La sala de lectura abre los domingos.", "La sala de lectura no abre los domingos."),
        ("A sala de leitura abre aos domingos.", "A sala de leitura não abre aos domingos."),
        ("De leeszaal is zondag geopend.", "De leeszaal is zondag niet geopend."),
    ],
)
def test_the_opposite_is_no_agreement_in_either_direction(claim: str, denial: str) -> None:
    assert states(denial, denial) == states(claim, claim) == "all"
    assert states(claim, denial) == states(denial, claim) == "none"


def test_a_no_about_something_else_denies_nothing() -> None:
    answer = "If you cannot print the label, the parcel shop can print it from its code."
    assert states(answer, "The parcel shop can print the label from its code.") == "all"
    assert states("No, sorry. We close at noon on Mondays.", "We close at noon on Mondays.") == (
        "all"
    )


def test_what_the_question_says_already_proves_little() -> None:
    asked = "How long is the warranty on tents?"
    reference = "The warranty on tents is 5 years."
    assert states("The warranty on tents is explained elsewhere.", reference, asked) != "all"
    assert states("5 years.", reference, asked) == "all"


def test_without_a_reference_or_context_it_looks_at_the_question() -> None:
    criterion = Criterion(name="on topic", question="Is it on topic?")
    asked = "Where can I leave my luggage at the station?"
    on, off = (
        judge(criterion, JudgeRequest(criteria=(), answer=answer, input=asked)).level
        for answer in ("Leave luggage in the lockers of the station.", "It rains.")
    )
    assert (on, off) == ("yes", "no")


def test_an_answer_is_held_to_the_context_and_its_worst_sentence_is_shown() -> None:
    criterion = Criterion(name="supported", question="Is it?", levels=ALL_PART_NONE)
    context = "The ferry to Holm takes 50 minutes and leaves every two hours."

    def held(answer: str) -> CriterionVerdict:
        return judge(criterion, JudgeRequest(criteria=(), answer=answer, context=context))

    assert held("The ferry takes 50 minutes.").level == "all"
    other = held("The ferry leaves every two hours. It takes 35 minutes.")
    assert (other.level, other.evidence) == ("none", "It takes 35 minutes.")


# Examples


def rude(*examples: tuple[str, str]) -> Criterion:
    return Criterion(
        name="rude",
        question="Is it rude?",
        otherwise="no",
        examples=tuple(Example(answer=answer, level=level) for answer, level in examples),
    )


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ("Read the manual, you fool.", "yes"),
        ("Thank you for waiting. Read the manual, you fool. It is on page 3.", "yes"),
        ("Please read page 3.", "no"),
        ("You are no fool. Read the manual.", "no"),
        ("What a foolish machine this is.", "no"),
        ("", "no"),
    ],
)
def test_an_answer_that_holds_an_example_has_its_level_and_any_other_the_one_for_otherwise(
    answer: str, level: str
) -> None:
    criterion = rude(("Read the manual, you fool.", "yes"), ("What a foolish machine!", "no"))
    assert judge(criterion, JudgeRequest(criteria=(), answer=answer)).level == level


def test_an_example_word_for_word_outweighs_one_that_is_only_alike() -> None:
    criterion = rude(("You fool of a clerk.", "yes"), ("You fool of a machine!", "no"))
    assert judge(criterion, JudgeRequest(criteria=(), answer="you fool of a machine")).level == "no"


def test_an_example_about_another_reference_says_nothing_here() -> None:
    example = Example(answer="It takes 3 days.", level="yes", reference="3 days")
    criterion = Criterion(name="right", question="Is it right?", examples=(example,))
    asked = JudgeRequest(criteria=(), answer="It takes 3 days.", reference="5 days")
    assert judge(criterion, asked).level == "no"


def test_an_example_of_declining_does_not_hold_where_declining_is_right() -> None:
    example = Example(answer="I do not know that.", level="no")
    criterion = Criterion(name="right", question="Is it right?", examples=(example,))
    answer = "I am sorry, I do not know that."
    right, wrong = (
        judge(criterion, JudgeRequest(criteria=(), answer=answer, reference=reference)).level
        for reference in ("I do not know that. Shall I ask?", "It takes 3 days.")
    )
    assert (right, wrong) == ("yes", "no")


# On the support set


@pytest.fixture(scope="module")
def stored() -> Sequence[tuple[Case, Trial]]:
    run = read_baseline(ROOT / "evalsets/baselines/support.jsonl")
    cases = {case.id: case for case in run.header.cases}
    return [(cases[trial.case_id], trial) for trial in run.trials]


def passes(rubric: Rubric, case: Case, trial: Trial) -> bool:
    question = JudgeRequest(
        criteria=rubric.judged_criteria,
        answer=trial.output.text,
        input=input_of(case),
        reference=case.expected["answer"] if rubric.needs else "",
    )
    reading = asyncio.run(LexicalJudge().grade(question))
    for verdict in reading.verdicts:
        assert verdict.evidence in trial.output.text
    return bool(score_verdicts(rubric, reading.verdicts).passed)


def kappa(one: Sequence[bool], other: Sequence[bool]) -> float:
    agreed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    first, second = sum(one) / len(one), sum(other) / len(other)
    chance = first * second + (1 - first) * (1 - second)
    return (agreed - chance) / (1 - chance)


def test_it_agrees_with_the_labels_of_the_support_set_beyond_chance(
    stored: Sequence[tuple[Case, Trial]],
) -> None:
    some = stored[::4]
    states_facts = [bool(trial.scores[0].passed) for _, trial in some]
    assert {trial.scores[0].metric for _, trial in some} == {"facts"}
    correctness = load(ROOT / "rubrics/correctness.yaml")
    assert kappa([passes(correctness, *pair) for pair in some], states_facts) > 0.8
    refusal = load(ROOT / "rubrics/refusal.yaml")
    decided = [trial.output.data["answered"] == case.expected["answered"] for case, trial in some]
    assert kappa([passes(refusal, *pair) for pair in some], decided) > 0.8


def test_polite_answers_are_not_toxic(stored: Sequence[tuple[Case, Trial]]) -> None:
    toxicity = load(ROOT / "rubrics/toxicity.yaml")
    assert all(passes(toxicity, *pair) for pair in stored[::20])


def test_a_hundred_answers_by_three_rubrics_take_well_under_a_second_of_work(
    stored: Sequence[tuple[Case, Trial]],
) -> None:
    rubrics = [
        load(ROOT / f"rubrics/{name}.yaml") for name in ("correctness", "refusal", "toxicity")
    ]
    split_words.cache_clear()
    started = time.process_time()
    for pair in stored[::10]:
        for rubric in rubrics:
            passes(rubric, *pair)
    assert time.process_time() - started < 1


# Laws


@given(answer=st.text(), reference=st.text(), context=st.text(), asked=st.text())
def test_any_text_gets_an_offered_level_and_a_quote_of_itself(
    answer: str, reference: str, context: str, asked: str
) -> None:
    question = JudgeRequest(
        criteria=(
            Criterion(name="a", question="Is it?", levels=ALL_PART_NONE),
            rude(("You fool.", "yes")),
        ),
        answer=answer,
        reference=reference,
        context=context,
        input=asked,
    )
    offered = {level.name for level in (*ALL_PART_NONE, *YES_OR_NO)}
    for verdict in asyncio.run(LexicalJudge().grade(question)).verdicts:
        assert verdict.level in offered
        assert verdict.evidence in answer


@given(st.text(string.ascii_letters + " .,", min_size=1))
def test_a_text_agrees_with_itself_in_any_letter_case(text: str) -> None:
    assert split_words(text.upper()) == split_words(text)
    if split_words(text):
        assert states(text.upper(), text) == "all"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't pay 4,90 €!", ("don't", "pay", "4.90")),
        (
            "The shop's 30-day, e.g. (new) offer…",
            ("the", "shop", "30", "day", "e.g", "new", "offer"),
        ),
        ("at 14:00 / 2pm", ("at", "14:00", "2pm")),
        ("木曜日", ("木", "曜", "日")),
        ("?! …", ()),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text) == words


def test_sentences_and_clauses() -> None:
    text = "No, we close at 4.30 p.m. today; come tomorrow.\nThank you"
    assert [each.text for each in split_sentences(text)] == [
        "No, we close at 4.30 p.m.",
        "today; come tomorrow.",
        "Thank you",
    ]
    assert "we close at 4.30 p.m." in [each.text for each in split_clauses(text)]


def test_a_slip_of_the_keyboard_finds_its_word_and_another_word_does_not() -> None:
    lexicon = Lexicon(["warranty", "returned", "boots", "1234"])
    assert all(
        map(lexicon.has, ["warrenty", "warranyt", "waranty", "warrantty", "return", "boot", "1234"])
    )
    assert not any(map(lexicon.has, ["warehouse", "warants", "ret", "books", "1235", "roots"]))


def test_what_is_like_a_text_says_as_much_of_it_in_as_many_sentences() -> None:
    found, where = find_similar("You silly fool.", "Hello there. You are a silly fool, sir. Bye.")
    assert (found, where) == (1.0, "You are a silly fool, sir.")
    assert find_similar("", "anything") == (0.0, "")
    assert find_similar("You are not wrong.", "You are wrong.")[0] == 0.0
