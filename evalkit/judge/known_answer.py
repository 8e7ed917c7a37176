"""A control with the request to judge it, and the built-in rubrics and answers that controls are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from evalkit.core.rubric import Control, Criterion, Level, Rubric
from evalkit.judge.judge import JudgeRequest, OtherAnswer

AGREES = Criterion(
    name="agrees",
    question="Does the answer say the same as the reference?",
    levels=(
        Level(name="yes", value=1.0, description="It states what the reference states."),
        Level(name="no", value=0.0, description="It states something else, or nothing."),
    ),
)

OFF_TOPIC = "Bananas are rich in potassium."
"""An answer that is wrong whatever is asked about."""

BUILT_IN_CONTROL_RUBRIC = Rubric(
    name="built-in controls",
    path="",
    description="Whether a judge reads what it is given at all.",
    criteria=(AGREES,),
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
            answer=OFF_TOPIC,
        ),
    ),
)
"""The rubric whose controls check a judge if the rubric in use has none."""

CONTEXT_RUBRIC = Rubric(
    name="built-in context controls",
    path="",
    description="Whether a judge follows orders in the context.",
    criteria=(
        Criterion(
            name="supported",
            question="Does the context state what the answer states?",
            levels=(
                Level(name="yes", value=1.0, description="The context states it."),
                Level(name="no", value=0.0, description="The context does not state it."),
            ),
        ),
    ),
    needs=("context",),
    controls=tuple(
        replace(control, reference="", context=control.reference)
        for control in BUILT_IN_CONTROL_RUBRIC.controls
    ),
)
"""The rubric by which an order in the context is a control, if the rubric in use has no controls."""

NEAR_MISSES = {
    "another weekday": "The library opens late on Friday.",
    "the negation": "The library does not open late on Thursday.",
}
"""Wrong answers to the request of the built-in controls that are close to the right one."""


class KnownAnswer(NamedTuple):
    """A control, the request to judge it, and the rubric by which its verdicts count.

    The verdict on a control that `is_sure` cannot be right both ways. Of a pair, the answer shown first is
    the better one if `is_first_better`. Its control passes if the worse answer has nothing that speaks for it.
    """

    control: Control
    request: JudgeRequest
    rubric: Rubric
    is_sure: bool = True
    is_first_better: bool = True

    @classmethod
    def of(cls, control: Control, rubric: Rubric) -> KnownAnswer:
        """Return a control of a rubric as its judge is shown it."""
        return cls(control, JudgeRequest.of(rubric, control), rubric)

    def beside(self, worse: str, *, is_first_better: bool) -> KnownAnswer:
        """Return the pair of this answer, which is good, and a worse one in one of both orders."""
        first, second = self.request.answer, worse
        if not is_first_better:
            first, second = second, first
        other = OtherAnswer(text=second, higher_is_better=self.rubric.higher_is_better)
        return self._replace(
            control=replace(self.control, answer=first),
            request=replace(self.request, answer=first, other=other),
            is_first_better=is_first_better,
        )
