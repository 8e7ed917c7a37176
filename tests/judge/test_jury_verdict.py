"""What a jury makes of its jurors' verdicts, for every small jury."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from evalkit.core.judgement import CriterionVerdict, JudgeVote, JuryRule
from evalkit.core.rubric import Criterion, Level
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.jury_verdict import combine_jurors, needed_jurors

LEVELS = (
    Level(name="all", value=1.0),
    Level(name="part", value=0.5),
    Level(name="none", value=0.0),
)
REQUEST = JudgeRequest(criteria=(Criterion(name="states", levels=LEVELS),), answer="an answer")
LOST = ""


def vote_of(index: int, level: str) -> JudgeVote:
    if level == LOST:
        return JudgeVote(judge=f"j{index}", state="judge_error", problem="it is down")
    value = next(each.value for each in LEVELS if each.name == level)
    verdict = CriterionVerdict(
        criterion="states", level=level, value=value, explanation=f"by j{index}"
    )
    return JudgeVote(judge=f"j{index}", verdicts=(verdict,), calls=1, cost_usd=0.5)


def judge(rule: JuryRule, levels: tuple[str, ...]) -> JudgeVote:
    votes = [vote_of(*each) for each in enumerate(levels)]
    return combine_jurors(rule, REQUEST, votes, "the jury", "d1")


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_majority_is_more_than_half_of_all_jurors(size: int) -> None:
    for levels in product(("all", "part", "none", LOST), repeat=size):
        found = judge("majority", levels)
        wanted = [
            level for level, count in Counter(levels).items() if level != LOST and count > size / 2
        ]
        assert (found.state == "scored") == bool(wanted), levels
        if wanted:
            (verdict,) = found.verdicts
            assert verdict.level == wanted[0]
            assert verdict.explanation.startswith("by j")
            assert [each or "(none)" for each in levels] == list(verdict.votes)
        else:
            assert not found.verdicts
            assert "the jury has no majority (states: " in found.problem
        present = sum(level != LOST for level in levels)
        if present < needed_jurors("majority", size):
            assert found.state == "judge_error"
        assert (found.calls, len(found.jurors)) == (present, size)
        assert found.cost_usd == (0.5 * present or None)


@pytest.mark.parametrize("size", [2, 3])
def test_a_mean_takes_every_juror(size: int) -> None:
    for levels in product(("all", "part", "none", LOST), repeat=size):
        found = judge("mean", levels)
        if LOST in levels:
            assert found.state == "judge_error"
            assert "j" in found.problem
            continue
        values = [each.value for level in levels for each in LEVELS if each.name == level]
        (verdict,) = found.verdicts
        assert verdict.value == pytest.approx(sum(values) / size)
        nearest = min(abs(each.value - verdict.value) for each in LEVELS)
        named = next(each.value for each in LEVELS if each.name == verdict.level)
        assert abs(named - verdict.value) == pytest.approx(nearest)
