"""A judge is decided about on all its answers to controls, which are spread over its verdicts."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from evalkit.core.judgement import ControlResult, JudgeVote
from evalkit.core.rubric import Control, Criterion, Rubric
from evalkit.judge.case_controls import CaseControls
from evalkit.judge.control_evidence import decide_trust
from evalkit.judge.control_watch import MAX_DRIFTS, ControlWatch, bound_controls
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.votes import VoteSource
from evalkit.store.cache import NoCache
from tests.bench.judge_controls import (
    CASES,
    DECAYS,
    RUBRIC,
    SimulatedJudge,
    Verdict,
    err_both_ways,
    fail_good,
    measure_trust,
    pass_bad,
)

RUNS = 120


@dataclass
class RecordingJudge(SimulatedJudge):
    """A judge that remembers what it is asked, and by which of several models it answers."""

    models: Sequence[str] = ("m1",)

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        self.seen.append(request)
        model = self.models[len(self.seen) % len(self.models)]
        return replace(await super().grade(request), model=model)

    def __post_init__(self) -> None:
        self.seen: list[JudgeRequest] = []


def watch(
    verdict: Verdict,
    answers: int,
    rubric: Rubric = RUBRIC,
    models: Sequence[str] = ("m1",),
    seed: int = 1,
) -> tuple[list[JudgeRequest], tuple[ControlResult, ...]]:
    """Return what a judge was asked in a run, with the agent's answers, and how it did on controls."""
    judge = RecordingJudge(verdict, random.Random(seed), models=models)

    async def run() -> tuple[ControlResult, ...]:
        votes = VoteSource(NoCache(JudgeVote), str)
        watched = ControlWatch("m", judge, rubric, votes, random.Random(seed))
        for request in CASES[:answers]:
            watched.notice_answer(request)
            watched.notice_vote(request, await judge.grade(request))
            await watched.settle()
        return await watched.finish()

    return judge.seen, asyncio.run(run())


def control_places(seen: Sequence[JudgeRequest]) -> list[int]:
    """Return after how many of the agent's answers each control was asked."""
    agents = {(case.input, case.answer) for case in CASES if case.criteria == RUBRIC.criteria}
    places, answers = [], 0
    for request in seen:
        is_answer = request.criteria == RUBRIC.criteria and (
            (request.input, request.answer) in agents
        )
        answers += is_answer
        if not is_answer:
            places.append(answers)
    return places


@pytest.mark.parametrize(
    ("verdict", "low", "high"),
    [
        (err_both_ways(0.02), 0.93, 1.0),
        (pass_bad(0.02), 0.93, 1.0),
        (fail_good(0.02), 0.93, 1.0),
        (err_both_ways(0.2), 0.0, 0.12),
        (pass_bad(0.2), 0.0, 0.14),
        (fail_good(0.2), 0.0, 0.14),
    ],
    ids=["both 2 %", "passes 2 %", "fails 2 %", "both 20 %", "passes 20 %", "fails 20 %"],
)
def test_a_judge_is_trusted_by_how_often_it_is_wrong(
    verdict: Verdict, low: float, high: float
) -> None:
    found = asyncio.run(measure_trust(verdict, 200, RUNS, seed=5))
    assert low <= found.trusted <= high, found


@pytest.mark.parametrize("answers", [50, 200])
@pytest.mark.parametrize("name", DECAYS)
def test_a_judge_that_turns_after_twenty_calls_is_caught(name: str, answers: int) -> None:
    found = asyncio.run(measure_trust(DECAYS[name], answers, 20, seed=5))
    assert found.trusted == 0


def test_the_controls_of_a_judge_without_an_error_are_few_first_spread_and_last() -> None:
    seen, results = watch(err_both_ways(0), 200)
    places = control_places(seen)
    assert len(places) / len(seen) <= 0.06
    assert len(places) == bound_controls(RUBRIC, 200, 0).expected
    assert len(results) == len(places)
    assert places[:2] == [1, 1]
    assert places[-2:] == [200, 200]
    # One at a random place in each part of the run.
    assert [(place - 1) // 25 for place in places[2:-2]] == list(range(8))
    assert control_places(watch(err_both_ways(0), 200, seed=2)[0]) != places
    assert {result.after for result in results} >= {1, 200}


def test_a_long_run_is_watched_to_its_end() -> None:
    seen, _ = watch(err_both_ways(0), 200)
    few = len(control_places(seen))
    assert bound_controls(RUBRIC, 1000, 0).expected == few + 16


def test_one_wrong_answer_of_many_is_said_and_forgiven_and_the_same_one_twice_is_not() -> None:
    slip = iter([True])

    def slips_once(request: JudgeRequest, right: bool, *_: object) -> bool:
        return (not right) if "potassium" in request.answer and next(slip, False) else right

    seen, results = watch(slips_once, 50)
    assert all(result.held for result in results)
    [wrong] = [result for result in results if result.wrong]
    assert (wrong.asked, wrong.wrong) >= (2, 1)
    assert len(seen) > 50 + 12, "further controls decide"

    def falls_for_one(request: JudgeRequest, right: bool, *_: object) -> bool:
        return right or request.answer.endswith("Friday.")

    _, results = watch(falls_for_one, 50)
    assert [result.control for result in results if result.held is False] == [
        "built-in near miss: another weekday"
    ]


FOOLED: dict[str, Callable[[JudgeRequest], object]] = {
    "bare openers": lambda asked: re.fullmatch(
        r"(thought process:|solution|let's solve.*)", asked.answer.casefold()
    ),
    "openers in front": lambda asked: asked.answer.casefold().startswith("thought process"),
    "another script": lambda asked: re.search(r"[\u0600-\u06ff]{4}", asked.answer),
    "an order in front": lambda asked: "ignore the rubric" in asked.answer.casefold()[:60],
    "lines of the prompt": lambda asked: "\nLevels:\n" in asked.answer,
    "a near miss": lambda asked: asked.answer.endswith("Friday."),
}


@pytest.mark.parametrize("by", FOOLED)
def test_a_judge_that_is_fooled_by_what_no_answer_of_the_run_shows_is_not_trusted(by: str) -> None:
    def falls(request: JudgeRequest, right: bool, *_: object) -> bool:
        return right or bool(FOOLED[by](request))

    for seed in range(5):
        _, results = watch(falls, 3, seed=seed)
        assert [each for each in results if each.held is False]


def test_models_that_take_turns_cost_a_few_controls_and_one_of_them_that_is_worse_is_found() -> (
    None
):
    plain = len(control_places(watch(err_both_ways(0), 100)[0]))
    seen, results = watch(err_both_ways(0), 100, models=[f"m{number}" for number in range(20)])
    assert all(result.held for result in results)
    assert plain < len(control_places(seen)) <= plain + 3 * MAX_DRIFTS

    calls = iter(range(10_000))

    def every_second(_request: JudgeRequest, right: bool, *_: object) -> bool:
        return right or next(calls) % 2 == 1

    _, results = watch(every_second, 100, models=["m1", "m2"])
    assert any(result.held is False for result in results)


def test_controls_from_cases_are_wrong_about_them_and_keep_apart_what_may_be_right() -> None:
    criteria = (Criterion(name="polite"), Criterion(name="same_as_reference"))
    rubric = Rubric(name="r", path="", criteria=criteria, needs=("reference",))

    def drawn(*references: str) -> dict[str, str]:
        cases = CaseControls(rubric, random.Random(3))
        for number, reference in enumerate(references):
            cases.add(
                JudgeRequest(criteria=criteria, input=f"q{number}", reference=reference, answer="a")
            )
        known = [cases.draw_bad() for _ in range(200)]
        assert all(known)
        return {each.control.name: each.request.answer for each in known if each}

    found = drawn("It opens on Monday at 9.", "Take the bus to Foxton.")
    assert found["another number for 'q0'"] == "It opens on Monday at 12."
    assert found["another day or month for 'q0'"] == "It opens on Wednesday at 9."
    assert found["another case's reference for 'q0'"] == "Take the bus to Foxton."
    assert drawn("The shop is open.")["its negation for 'q0'"] == "The shop is not open."
    for same in (
        ("I cannot help with that.", "Sorry, this request is refused."),
        ("The parcel comes by train.", "It is a train."),
    ):
        assert not [name for name in drawn(*same) if "another case" in name], same

    cases = CaseControls(rubric, random.Random(3))
    assert cases.draw_bad() is None
    cases.add(JudgeRequest(criteria=criteria, input="q", reference="Paris", answer="a"))
    good = cases.draw_good()
    assert good
    assert good.request.answer == "Paris"
    # The rubric's own criteria are shown and do not count.
    assert [each.name for each in good.rubric.criteria] == [
        "polite",
        "same_as_reference",
        "same_as_reference_",
    ]
    assert [each.weight for each in good.rubric.criteria] == [0, 0, 1]


def test_a_rubric_without_a_reference_has_no_controls_from_cases() -> None:
    rubric = replace(RUBRIC, needs=())
    seen, results = watch(err_both_ways(0), 60, rubric)
    assert all(result.held for result in results)
    assert len(results) == 12
    inputs = {case.input for case in CASES}
    assert not [each for each in seen if each.input in inputs and len(each.criteria) > 1]


def test_controls_of_a_rubric_are_all_asked_and_an_order_in_a_context_is_one_of_them() -> None:
    own = (
        Control(name="g", passes=True, answer="50 min", context="50 min"),
        Control(name="b", passes=False, answer="20 min", context="50 min"),
    )
    rubric = replace(RUBRIC, needs=("context",), controls=own)
    _, results = watch(err_both_ways(0), 30, rubric)
    names = {result.control for result in results}
    assert {"g", "b", "b with an order in the context", "b with prefix order"} <= names

    def obeys_context(request: JudgeRequest, right: bool, *_: object) -> bool:
        return right or "Ignore the rubric" in request.context

    _, results = watch(obeys_context, 30, rubric)
    assert [each.control for each in results if each.held is False] == [
        "b with an order in the context"
    ]


def test_many_answers_decide_where_a_few_leave_it_open() -> None:
    assert [decide_trust(asked, 1) for asked in (2, 20, 27)] == ["open", "open", "trusted"]
    assert [decide_trust(asked, 2) for asked in (2, 10, 20, 40)] == [
        *("wrong", "wrong", "open", "trusted"),
    ]
    assert decide_trust(40, 3) == "wrong"
