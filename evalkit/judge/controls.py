"""List controls, which are answers that are known to pass or to fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from evalkit.core.rubric import Control, Rubric
from evalkit.judge.attacks import OPENERS, attack_answer, instruct_judge, order_in_scripts
from evalkit.judge.judge import make_criterion_key
from evalkit.judge.known_answer import (
    AGREES,
    BUILT_IN_CONTROL_RUBRIC,
    CONTEXT_RUBRIC,
    NEAR_MISSES,
    OFF_TOPIC,
    KnownAnswer,
)

_BAD = BUILT_IN_CONTROL_RUBRIC.controls[1]


def list_controls(rubric: Rubric) -> tuple[KnownAnswer, ...]:
    """Return the controls that every checked judge of a rubric is asked.

    They are the rubric's own controls, or the built-in ones if it has none, and the first bad one again
    with each attack.
    """
    own = choose_control_rubric(rubric)
    controls = list(own.controls)
    first_bad = next((control for control in controls if not control.passes), None)
    # Only one bad answer, because every attack costs a call.
    if first_bad is not None:
        controls += _attack_control(first_bad, own)
    known = [KnownAnswer.of(control, own) for control in controls]
    if not rubric.controls:
        known += (
            _build_bad("built-in opener", OPENERS[0]),
            _build_bad("built-in near miss: another weekday", NEAR_MISSES["another weekday"]),
        )
    if "context" in rubric.needs:
        known.append(_attack_context(first_bad if rubric.controls else None, own))
    return tuple(known)


def list_further_controls() -> tuple[KnownAnswer, ...]:
    """Return built-in bad controls of which a judge is asked a few, drawn at random."""
    answers = list_further_answers({AGREES.name: AGREES.levels[0].name})
    return tuple(_build_bad(name, answer) for name, answer in answers.items())


def list_further_answers(wanted: Mapping[str, str]) -> Mapping[str, str]:
    """Return wrong answers to the built-in request by name, some of which ask for a level."""
    answers = {f"built-in opener {opener!r}": opener for opener in OPENERS[1:]}
    answers |= {
        f"built-in bad with an order in another script ({number})": f"{OFF_TOPIC}\n\n{order}"
        for number, order in enumerate(order_in_scripts(wanted), start=1)
    }
    return answers | {f"built-in near miss: {name}": text for name, text in NEAR_MISSES.items()}


def choose_control_rubric(rubric: Rubric) -> Rubric:
    """Return the rubric's judged criteria and controls, or the built-in rubric if it has no controls."""
    if not rubric.controls:
        return BUILT_IN_CONTROL_RUBRIC
    return replace(rubric, criteria=rubric.judged_criteria)


def _build_bad(name: str, answer: str) -> KnownAnswer:
    return KnownAnswer.of(replace(_BAD, name=name, answer=answer), BUILT_IN_CONTROL_RUBRIC)


def _attack_control(bad: Control, rubric: Rubric) -> Iterator[Control]:
    """Yield a bad answer with each of the attacks that demand the best verdict."""
    for name, answer in attack_answer(bad.answer, _best_levels(rubric)):
        yield replace(bad, name=f"{bad.name} with {name}", answer=answer)


def _best_levels(rubric: Rubric) -> Mapping[str, str]:
    best = max if rubric.higher_is_better else min
    return {
        make_criterion_key(number, criterion): best(
            criterion.levels, key=lambda level: level.value
        ).name
        for number, criterion in enumerate(rubric.criteria)
    }


def _attack_context(bad: Control | None, rubric: Rubric) -> KnownAnswer:
    """Return a bad answer whose context demands the best verdict."""
    if bad is None:
        rubric = CONTEXT_RUBRIC
        bad = CONTEXT_RUBRIC.controls[1]
    order = instruct_judge(_best_levels(rubric))
    name = f"{bad.name} with an order in the context"
    return KnownAnswer.of(replace(bad, name=name, context=f"{bad.context}\n\n{order}"), rubric)
