"""Answers to review, made from a few words each."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.commands.review.records import JudgedAnswer, ReviewReason
from evalkit.core.literals import ScoreState
from evalkit.core.rubric import Criterion, Level, Rubric
from evalkit.core.trial import Score
from evalkit.judge.judge import JudgeRequest

LEVELS = (
    Level(name="good", value=1.0, description="Says all of it."),
    Level(name="partly", value=0.5, description="Says some of it."),
    Level(name="bad", value=0.0),
)


def make_rubric(*criteria: str, pass_at: float = 0.7) -> Rubric:
    return Rubric(
        name="helpfulness",
        path="rubrics/helpfulness.yaml",
        pass_at=pass_at,
        criteria=tuple(
            Criterion(name=name, question=f"Is it {name}?", levels=LEVELS) for name in criteria
        ),
    )


def make_answer(
    case: str,
    text: str = "",
    *,
    whys: Sequence[ReviewReason] = (),
    trials: Sequence[int] = (0,),
    rubric: Rubric | None = None,
    state: ScoreState = "scored",
) -> JudgedAnswer:
    rubric = rubric or make_rubric("clear")
    return JudgedAnswer(
        case=case,
        trials=tuple(trials),
        question=JudgeRequest(
            criteria=rubric.judged_criteria,
            answer=text or f"answer to {case}",
            input=f"question {case}",
        ),
        score=Score(metric="helpfulness", state=state, value=1.0 if state == "scored" else None),
        rubric=rubric,
        reasons=tuple(whys),
    )
