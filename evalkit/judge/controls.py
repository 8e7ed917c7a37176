"""Check a judge with controls, which are answers that are known to pass or to fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evalkit.core.judgement import ControlResult, JudgeVote
from evalkit.core.rubric import Control, Criterion, Level, Rubric
from evalkit.judge.attacks import build_attacks
from evalkit.judge.judge import JudgeRequest, make_criterion_key
from evalkit.judge.pair_controls import check_pair_control, list_pair_controls
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
"""The rubric whose controls check a judge if the rubric in use has none."""


def list_controls(rubric: Rubric) -> tuple[tuple[Control, JudgeRequest], ...]:
    """Return every control of a rubric with its request, and the first bad one again with each attack."""
    if rubric.is_pairwise:
        return list_pair_controls(rubric)
    rubric = choose_control_rubric(rubric)
    controls = list(rubric.controls)
    first_bad = next((control for control in controls if not control.passes), None)
    # Only one bad answer, because every attack costs a call.
    if first_bad is not None:
        controls += _build_attack_controls(first_bad, rubric)
    return tuple((control, JudgeRequest.of(rubric, control)) for control in controls)


def choose_control_rubric(rubric: Rubric) -> Rubric:
    """Return the rubric's judged criteria and controls, or the built-in rubric if it has no controls."""
    if not rubric.controls:
        return BUILT_IN_CONTROL_RUBRIC
    return replace(rubric, criteria=rubric.judged_criteria)


def _build_attack_controls(bad: Control, rubric: Rubric) -> Iterator[Control]:
    """Yield a bad answer with each of the attacks that demand the best verdict."""
    best = max if rubric.higher_is_better else min
    wanted = {
        make_criterion_key(number, criterion): best(criterion.levels, key=lambda level: level.value)
        for number, criterion in enumerate(rubric.criteria)
    }
    for name, text in build_attacks({key: level.name for key, level in wanted.items()}):
        yield replace(bad, name=f"{bad.name} with {name}", answer=f"{bad.answer}\n\n{text}")


def check_control(metric: str, rubric: Rubric, control: Control, vote: JudgeVote) -> ControlResult:
    """Return whether a judge's vote on a control is right; `held` is None without a verdict."""
    result = ControlResult(
        metric=metric,
        control=control.name,
        should_pass=control.passes,
        held=None,
        answered=vote.problem,
        judge=vote.judge,
    )
    if vote.state != "scored":
        return result
    if rubric.is_pairwise:
        return check_pair_control(result, rubric, vote)
    rubric = choose_control_rubric(rubric)
    score = score_verdicts(rubric, combine_votes(rubric.criteria, [vote]))
    return replace(result, held=score.passed == control.passes, answered=score.explanation)
