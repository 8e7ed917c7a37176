"""Answers to review, made from a few words each."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.judging.question import Question
from evalkit.records import Score, ScoreState
from evalkit.reviewing.answers import Answer, Why
from evalkit.rubric import Criterion, Level, Rubric

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
    whys: Sequence[Why] = (),
    trials: Sequence[int] = (0,),
    rubric: Rubric | None = None,
    state: ScoreState = "scored",
) -> Answer:
    rubric = rubric or make_rubric("clear")
    return Answer(
        case=case,
        trials=tuple(trials),
        question=Question(
            criteria=rubric.judged, answer=text or f"answer to {case}", input=f"question {case}"
        ),
        score=Score(metric="helpfulness", state=state, value=1.0 if state == "scored" else None),
        rubric=rubric,
        whys=tuple(whys),
    )
