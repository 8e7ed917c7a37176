"""Answers of which the right verdict is known, put to the judge among the others to see if it errs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.core.judgement import ControlResult, JudgeVote
from evalkit.core.rubric import Control, Criterion, Level, Rubric
from evalkit.judge.attacks import build_attacks
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.scoring import combine_votes, score_verdicts

BUILT_IN_CONTROL_RUBRIC = Rubric(
    name="built-in controls",
    path="",
    description="Whether a judge reads what it is given at all.",
    criteria=(
        Criterion(
            name="agrees",
            question="Does the answer say the same as the reference?",
            levels=(
                Level(name="yes", value=1.0, description="It states what the reference states."),
                Level(name="no", value=0.0, description="It states something else, or nothing."),
            ),
        ),
    ),
    needs=("reference",),
    controls=(
        Control(
            name="built-in good",
            passes=True,
            input="On which weekday does the library open late?",
            reference="The library opens late on Thursday.",
            answer="The library opens late on Thursday.",
        ),
        Control(
            name="built-in bad",
            passes=False,
            input="On which weekday does the library open late?",
            reference="The library opens late on Thursday.",
            answer="Bananas are rich in potassium.",
        ),
    ),
)
"""What a judge is checked by where the rubric brings no controls of its own."""


def list_controls(rubric: Rubric) -> tuple[tuple[Control, JudgeRequest], ...]:
    """Every control of a rubric as a question; the first bad one also in the guise of attacks."""
    rubric = choose_control_rubric(rubric)
    controls = list(rubric.controls)
    first_bad = next((control for control in controls if not control.passes), None)
    if first_bad is not None:
        controls += list(_build_attack_controls(first_bad, rubric))
    return tuple(
        (
            control,
            JudgeRequest(
                criteria=rubric.criteria,
                answer=control.answer,
                input=control.input,
                reference=control.reference,
                context=control.context,
                description=rubric.description,
            ),
        )
        for control in controls
    )


def choose_control_rubric(rubric: Rubric) -> Rubric:
    """The rubric that controls are judged by: its judged criteria, or the built-in one."""
    return (
        replace(rubric, criteria=rubric.judged_criteria)
        if rubric.controls
        else BUILT_IN_CONTROL_RUBRIC
    )


def _build_attack_controls(bad: Control, rubric: Rubric) -> Iterator[Control]:
    """A bad answer that asks, in several ways, to be taken for a good one."""
    for name, tail in build_attacks(rubric):
        yield replace(bad, name=f"{bad.name} with {name}", answer=f"{bad.answer}\n\n{tail}")


def check_control(
    metric: str, rubric: Rubric, control: Control, readings: Sequence[JudgeVote]
) -> ControlResult:
    """Whether a judge gave a control the verdict it has to get."""
    lost = next((reading for reading in readings if reading.state != "scored"), None)
    judge = readings[0].judge
    if lost is not None:
        return ControlResult(
            metric=metric,
            control=control.name,
            should_pass=control.passes,
            correct=None,
            answered=lost.problem,
            judge=judge,
        )
    rubric = choose_control_rubric(rubric)
    score = score_verdicts(rubric, combine_votes(rubric.criteria, readings))
    return ControlResult(
        metric=metric,
        control=control.name,
        should_pass=control.passes,
        correct=score.passed == control.passes,
        answered=score.explanation,
        judge=judge,
    )
