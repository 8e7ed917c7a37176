"""Sample the answers that a person should label, half at random and half for a reason.

Estimates from labels, such as the mean that people would have given, must use answers drawn at random:
those picked because the judge seemed wrong would make it seem worse than it is. So the random half is
drawn first, from all scored answers, with or without a reason, and every answer drawn is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from evalkit.commands.review.records import REVIEW_REASONS, JudgedAnswer
from evalkit.core.serialization import digest


def sample_answers(
    answers: Sequence[JudgedAnswer], size: int, seed: int
) -> tuple[JudgedAnswer, ...]:
    """Return at most `size` answers: half drawn at random, the others for a reason while there are any.

    Those whose label is probably wrong are picked before others with a reason, and come first. A larger
    sample contains every smaller one of the same seed. The order does not show why an answer was picked
    otherwise.
    """
    order = shuffle_answers(answers, seed)
    half = order[: size - size // 2]
    reasoned = _rotate_reasons(answers, seed)
    chosen = [answer for answer in reasoned if answer not in half][: size // 2]
    drawn: list[JudgedAnswer] = []
    for answer in order:
        # An answer that was chosen for a reason may be drawn too; it then takes no second place.
        if len(drawn) >= len(half) and len(_join_unique(drawn, chosen)) >= size:
            break
        drawn.append(answer)
    picked = sorted(
        _join_unique(drawn, chosen),
        key=lambda each: (not is_suspect(each), _random_key(each, seed, "order")),
    )
    return tuple(replace(each, is_drawn=each in drawn) for each in picked)


def shuffle_answers(answers: Iterable[JudgedAnswer], seed: int) -> list[JudgedAnswer]:
    """Return the scored answers in random order: one of each case, then a second one of each.

    The order depends on case and trial, not on run or answer, so that a baseline and a candidate are
    labeled on the same cases. An answer that more trials gave is likelier to come first.
    """
    numbered: dict[str, list[tuple[str, JudgedAnswer]]] = {}
    for answer in answers:
        if answer.score.state == "scored":
            for trial in answer.trials:
                number = digest([seed, "trial", answer.case, trial])
                numbered.setdefault(answer.case, []).append((number, answer))
    turns = []
    for case, of_case in numbered.items():
        case_number = digest([seed, "case", case])
        of_case.sort(key=lambda pair: pair[0])
        unique = {answer.item_digest: answer for _, answer in of_case}
        turns += [(turn, case_number, answer) for turn, answer in enumerate(unique.values())]
    return [answer for *_, answer in sorted(turns, key=lambda turn: turn[:2])]


def _rotate_reasons(answers: Iterable[JudgedAnswer], seed: int) -> Iterable[JudgedAnswer]:
    """Return the answers with a reason: suspect labels, then one for each reason in turn, at random."""
    queues = [
        sorted((a for a in answers if why in a.reasons), key=lambda a: _random_key(a, seed, why))
        for why in REVIEW_REASONS
    ]
    others = (answer for row in zip_longest(*queues) for answer in row if answer is not None)
    rows = (*queues[0], *others)
    return {(answer.case, answer.item_digest): answer for answer in rows}.values()


def is_suspect(answer: JudgedAnswer) -> bool:
    """Return whether the label of the answer's case is probably wrong."""
    return "suspect_label" in answer.reasons


def _join_unique(
    drawn: Sequence[JudgedAnswer], chosen: Sequence[JudgedAnswer]
) -> list[JudgedAnswer]:
    return [*drawn, *(answer for answer in chosen if answer not in drawn)]


def _random_key(answer: JudgedAnswer, seed: int, purpose: str) -> str:
    return digest([seed, purpose, answer.case, answer.item_digest])
