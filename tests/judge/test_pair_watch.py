"""A judge that compares answers is watched over a run like one that judges single answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from evalkit.core.judgement import ControlResult, CriterionVerdict, JudgeVote
from evalkit.judge.case_controls import CaseControls
from evalkit.judge.control_check import check_control
from evalkit.judge.control_watch import ControlWatch, bound_controls
from evalkit.judge.judge import PAIR_LEVELS, JudgeRequest, OtherAnswer
from evalkit.judge.votes import VoteSource
from evalkit.store.cache import NoCache
from tests.bench.judge_controls import CASES, RUBRIC, TURN, SimulatedJudge, err_both_ways

PAIRWISE = replace(RUBRIC, is_pairwise=True)
VALUE = {level.name: level.value for level in PAIR_LEVELS}
PAIRS = tuple(
    replace(case, answer=first, other=OtherAnswer(text=second))
    for case in CASES
    for first, second in ((case.reference, "No idea."), ("No idea.", case.reference))
)
Prefers = Callable[[JudgeRequest, str, int, random.Random], str]
"""The place that a judge prefers, by the better one, and by how many calls there were before."""


@dataclass
class PairJudge(SimulatedJudge):
    """A judge that knows which of two answers is better, and errs as it is told."""

    prefers: Prefers = lambda _request, better, _asked, _draw: better

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        assert request.other is not None, "it is asked nothing about single answers"
        better = "A" if is_right(request.answer, request) else "B"
        level = self.prefers(request, better, self.asked, self.draw)
        self.asked += 1
        verdicts = (
            CriterionVerdict(criterion=criterion.name, level=level, value=VALUE[level])
            for criterion in request.criteria
        )
        return JudgeVote(verdicts=tuple(verdicts), judge=self.name, digest=self.digest, calls=1)


def is_right(answer: str, request: JudgeRequest) -> bool:
    return answer in (request.reference, "It opens late on Thursday.")


def watch(prefers: Prefers, pairs: int, seed: int) -> tuple[int, tuple[ControlResult, ...]]:
    """Return how many controls a judge was asked beside so many pairs, and how it did."""
    judge = PairJudge(err_both_ways(0), random.Random(seed), prefers=prefers)

    async def run() -> tuple[ControlResult, ...]:
        votes = VoteSource(NoCache(JudgeVote), str)
        watched = ControlWatch("m", judge, PAIRWISE, votes, random.Random(seed))
        for request in PAIRS[: 2 * pairs]:
            watched.notice_answer(request)
            watched.notice_vote(request, await judge.grade(request))
            await watched.settle()
        return await watched.finish()

    results = asyncio.run(run())
    return judge.asked - 2 * pairs, results


def is_trusted(prefers: Prefers, pairs: int, seed: int) -> bool:
    return all(result.held for result in watch(prefers, pairs, seed)[1])


def test_the_controls_of_comparisons_are_few_and_everywhere() -> None:
    controls, results = watch(PairJudge.prefers, 200, 1)
    assert all(result.held for result in results)
    assert controls == bound_controls(PAIRWISE, 400, 0).expected
    assert controls <= 0.06 * (400 + controls)
    after = sorted(result.after for result in results)
    assert after[0] == 1
    assert after[-1] == 400
    assert len({(place - 1) // 100 for place in after}) == 4


TURNED: dict[str, Prefers] = {
    "always first": lambda *_: "A",
    "always second": lambda *_: "B",
    "always a tie": lambda *_: "tie",
    "the worse of the cases": lambda asked, better, *_: (
        {"A": "B", "B": "A"}[better] if "capital" in asked.input else better
    ),
}


@pytest.mark.parametrize("name", TURNED)
def test_a_judge_whose_comparisons_turn_is_caught(name: str) -> None:
    def turning(request: JudgeRequest, better: str, asked: int, draw: random.Random) -> str:
        return better if asked < TURN else TURNED[name](request, better, asked, draw)

    for pairs in (25, 100):
        assert not any(is_trusted(turning, pairs, seed) for seed in range(10))


@pytest.mark.parametrize(("rate", "low", "high"), [(0.02, 0.9, 1.0), (0.2, 0.0, 0.15)])
def test_a_judge_of_pairs_is_trusted_by_how_often_it_is_wrong(
    rate: float, low: float, high: float
) -> None:
    def errs(_request: JudgeRequest, better: str, _asked: int, draw: random.Random) -> str:
        return {"A": "B", "B": "A"}[better] if draw.random() < rate else better

    trusted = [is_trusted(errs, 100, seed) for seed in range(100)]
    assert low <= sum(trusted) / len(trusted) <= high


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_pairs_from_cases_show_the_reference_in_both_places(higher_is_better: bool) -> None:
    cases = CaseControls(PAIRWISE, random.Random(3))
    for request in PAIRS[:8]:
        other = replace(request.other or OtherAnswer(text=""), higher_is_better=higher_is_better)
        cases.add(replace(request, other=other))
    places = set()
    for _ in range(50):
        for known in (cases.draw_good(), cases.draw_bad()):
            assert known is not None
            request = known.request
            assert request.other is not None
            places.add(known.is_first_better)
            assert (request.answer == request.reference) == known.is_first_better
            assert (request.other.text == request.reference) != known.is_first_better
            # The prompt lists the levels from the best one on.
            best = max if request.other.higher_is_better else min
            assert best(request.criteria[-1].levels, key=lambda level: level.value).name == "yes"
            level = "A" if known.is_first_better else "B"
            verdicts = tuple(
                CriterionVerdict(criterion=each.name, level=level, value=VALUE[level])
                for each in request.criteria
            )
            assert check_control("m", known, JudgeVote(verdicts=verdicts)).held
    assert places == {True, False}
