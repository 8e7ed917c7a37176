"""Answers of which the right verdict is known, put to the judge among the others to see if it errs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.judgement import ControlResult, Reading
from evalkit.judging.attacks import attacks_on
from evalkit.judging.question import Question
from evalkit.judging.scoring import combine_votes, score_verdicts
from evalkit.rubric import Control, Criterion, Level, Rubric

BUILT_IN = Rubric(
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


def controls_of(rubric: Rubric) -> tuple[tuple[Control, Question], ...]:
    """Every control of a rubric as a question; the first bad one also in the guise of attacks."""
    rubric = controlled_rubric(rubric)
    controls = list(rubric.controls)
    first_bad = next((control for control in controls if not control.passes), None)
    if first_bad is not None:
        controls += list(_attacks(first_bad, rubric))
    return tuple(
        (
            control,
            Question(
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


def controlled_rubric(rubric: Rubric) -> Rubric:
    """The rubric that controls are judged by: its judged criteria, or the built-in one."""
    return replace(rubric, criteria=rubric.judged) if rubric.controls else BUILT_IN


def _attacks(bad: Control, rubric: Rubric) -> Iterator[Control]:
    """A bad answer that asks, in several ways, to be taken for a good one."""
    for name, tail in attacks_on(rubric):
        yield replace(bad, name=f"{bad.name} with {name}", answer=f"{bad.answer}\n\n{tail}")


def weigh_control(
    metric: str, rubric: Rubric, control: Control, readings: Sequence[Reading]
) -> ControlResult:
    """Whether a judge gave a control the verdict it has to get."""
    lost = next((reading for reading in readings if reading.state != "scored"), None)
    judge = readings[0].judge
    if lost is not None:
        return ControlResult(
            metric=metric,
            control=control.name,
            should_pass=control.passes,
            held=None,
            answered=lost.problem,
            judge=judge,
        )
    rubric = controlled_rubric(rubric)
    score = score_verdicts(rubric, combine_votes(rubric.criteria, readings))
    return ControlResult(
        metric=metric,
        control=control.name,
        should_pass=control.passes,
        held=score.passed == control.passes,
        answered=score.explanation,
        judge=judge,
    )
