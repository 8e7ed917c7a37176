"""Answers into the few of them that a person should look at, some for a reason and some by lot.

What is estimated from labels, such as the mean a person would have given, must rest on answers that were
drawn by lot: those picked because the judge seemed wrong would make it look worse than it is. So the lot
is cast first, over all scored answers, reason or not, and every answer it fell on is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.commands.review.answers import REVIEW_REASONS, JudgedAnswer
from evalkit.core.serialization import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledAnswer:
    """An answer to be looked at; `is_drawn` when the lot fell on it, whatever else speaks for it."""

    answer: JudgedAnswer
    is_drawn: bool


def sample_answers(
    answers: Sequence[JudgedAnswer], size: int, seed: int
) -> tuple[SampledAnswer, ...]:
    """At most `size` answers: half of them by lot, the others for a reason while there are any.

    A larger sample holds every smaller one of the same seed. They come in an order that tells nothing
    of why they were picked.
    """
    order = shuffle_answers(answers, seed)
    reasoned = list(_rotate_reasons(answers, seed))
    half = order[: size - size // 2]
    chosen = [answer for answer in reasoned if answer not in half][: size // 2]
    drawn: list[JudgedAnswer] = []
    for answer in order:
        # What was chosen already costs no place, but the lot may fall on it all the same.
        if len(drawn) >= len(half) and len(_join_unique(drawn, chosen)) >= size:
            break
        drawn.append(answer)
    picked = [
        SampledAnswer(answer=each, is_drawn=each in drawn) for each in _join_unique(drawn, chosen)
    ]
    return tuple(sorted(picked, key=lambda each: _random_key(each.answer, seed, "order")))


def shuffle_answers(answers: Iterable[JudgedAnswer], seed: int) -> list[JudgedAnswer]:
    """The scored answers in the order in which lots fall on them: one of each case, then a second one.

    The lot knows the case and the trial and neither run nor answer, so that a baseline and a candidate
    are looked at on the same cases. An answer is as likely as it was given.
    """
    lots: dict[str, list[tuple[str, JudgedAnswer]]] = {}
    for answer in answers:
        if answer.score.state == "scored":
            for trial in answer.trials:
                lot = digest([seed, "trial", answer.case, trial])
                lots.setdefault(answer.case, []).append((lot, answer))
    turns = []
    for case, of_case in lots.items():
        place = digest([seed, "case", case])
        ranked = dict.fromkeys(
            answer.item_digest for _, answer in sorted(of_case, key=lambda x: x[0])
        )
        by_item = {answer.item_digest: answer for _, answer in of_case}
        turns += [(turn, place, by_item[item]) for turn, item in enumerate(ranked)]
    return [answer for *_, answer in sorted(turns, key=lambda turn: turn[:2])]


def _rotate_reasons(answers: Iterable[JudgedAnswer], seed: int) -> Iterable[JudgedAnswer]:
    """Those with a reason: one for each reason in turn, at random among equals."""
    queues = [
        sorted((a for a in answers if why in a.reasons), key=lambda a: _random_key(a, seed, why))
        for why in REVIEW_REASONS
    ]
    longest = max(map(len, queues))
    rows = (queue[index] for index in range(longest) for queue in queues if index < len(queue))
    return {(answer.case, answer.item_digest): answer for answer in rows}.values()


def _join_unique(
    drawn: Sequence[JudgedAnswer], chosen: Sequence[JudgedAnswer]
) -> list[JudgedAnswer]:
    return [*drawn, *(answer for answer in chosen if answer not in drawn)]


def _random_key(answer: JudgedAnswer, seed: int, purpose: str) -> str:
    return digest([seed, purpose, answer.case, answer.item_digest])
