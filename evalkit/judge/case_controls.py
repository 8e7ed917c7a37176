"""Build controls from the cases of a run: answers to their own inputs that are known to be right or wrong.

A judge is shown them under the criteria of the rubric in use, so that they look like the agent's answers,
and under one more criterion, which alone counts: whether the answer says the same as the reference. So the
result is known whatever the rubric asks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

from evalkit.core.rubric import Control, Rubric
from evalkit.judge.attacks import OPENERS
from evalkit.judge.controls import AGREES, OFF_TOPIC, KnownAnswer
from evalkit.judge.judge import JudgeRequest

MAX_SUBJECTS = 200
"""The most cases of a rubric that are remembered as subjects of controls."""

MAX_TRIED = 20
"""The cases among which one with another reference is looked for."""

_MAX_SHOWN_CHARS = 40
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")
_DECLINES = re.compile(
    r"\b(cannot|can't|can’t|unable|sorry|refus\w*|declin\w*|won't|won’t|not (able|allowed|possible))\b",
    re.IGNORECASE,
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_NAMED_DAY = re.compile(rf"\b({'|'.join((*_WEEKDAYS, *_MONTHS))})\b")
_AFFIRMS = re.compile(r"\b(is|are|was|were|can|must|will|should|may)\b(?! not\b|n)")
_NEGATES = re.compile(
    r"\b(not|no|never|none|nothing|nobody|without|cannot)\b|n['’]t\b", re.IGNORECASE
)


class CaseControls:
    """Draws controls from the requests that a judge was asked about the cases of one rubric."""

    def __init__(self, rubric: Rubric, draw: random.Random) -> None:
        self._is_shown_reference = "reference" in rubric.needs
        self._draw = draw
        self._subjects: dict[tuple[str, str], JudgeRequest] = {}

    def add(self, request: JudgeRequest) -> None:
        """Remember the case of a request as a subject."""
        if self._is_shown_reference and request.reference and len(self._subjects) < MAX_SUBJECTS:
            self._subjects.setdefault((request.input, request.reference), request)

    def draw_good(self) -> KnownAnswer | None:
        """Return a case's own reference as the answer; None if no case is known."""
        subject = self._draw_subject()
        if subject is None:
            return None
        return _ask_about(subject, "its own reference", subject.reference, passes=True)

    def draw_bad(self) -> KnownAnswer | None:
        """Return an answer that is wrong about a case; None if no case is known.

        It is a near miss, another case's reference, or an answer without content.
        """
        subject = self._draw_subject()
        if subject is None:
            return None
        opener = self._draw.choice(OPENERS)
        empty = {"an answer off topic": OFF_TOPIC, f"the opener {opener!r}": opener}
        answers = {
            name: answer
            for name, answer in empty.items()
            if not _share_words(answer, subject.reference)
        }
        answers |= _list_near_misses(subject.reference)
        known = [
            _ask_about(subject, name, answer, passes=False) for name, answer in answers.items()
        ]
        if other := self._draw_other(subject):
            swapped = _ask_about(subject, "another case's reference", other, passes=False)
            known.append(swapped._replace(is_sure=False))
        return self._draw.choice(known) if known else None

    def _draw_subject(self) -> JudgeRequest | None:
        return self._draw.choice(list(self._subjects.values())) if self._subjects else None

    def _draw_other(self, subject: JudgeRequest) -> str:
        """Return the reference of another case that says something else; empty if there is none."""
        subjects = list(self._subjects.values())
        drawn = self._draw.sample(subjects, min(MAX_TRIED, len(subjects)))
        others = (each.reference for each in drawn)
        return next((each for each in others if _says_otherwise(each, subject.reference)), "")


def repeats_reference(request: JudgeRequest) -> bool:
    """Return whether an answer holds its reference word for word."""
    reference = _WORD.findall(request.reference.casefold())
    return bool(reference) and f" {' '.join(reference)} " in (
        f" {' '.join(_WORD.findall(request.answer.casefold()))} "
    )


def _ask_about(subject: JudgeRequest, name: str, answer: str, *, passes: bool) -> KnownAnswer:
    names = {criterion.name for criterion in subject.criteria}
    agrees = replace(AGREES, name="same_as_reference")
    while agrees.name in names:
        agrees = replace(agrees, name=f"{agrees.name}_")
    uncounted = (replace(criterion, weight=0) for criterion in subject.criteria)
    rubric = Rubric(name="", path="", criteria=(*uncounted, agrees))
    shown = " ".join(subject.input.split())
    if len(shown) > _MAX_SHOWN_CHARS:
        shown = f"{shown[:_MAX_SHOWN_CHARS]}..."
    return KnownAnswer(
        control=Control(name=f"{name} for {shown!r}", passes=passes, answer=answer),
        request=replace(subject, criteria=rubric.criteria, answer=answer, vote=0),
        rubric=rubric,
    )


def _list_near_misses(reference: str) -> Iterator[tuple[str, str]]:
    """Yield the reference with another number, another day or month, and its negation."""
    if number := _NUMBER.search(reference):
        other = str(int(number[0]) + 3) if len(number[0]) < 19 else number[0][::-1] + "7"
        yield "another number", _replace_match(reference, number, other)
    if day := _NAMED_DAY.search(reference):
        names = _WEEKDAYS if day[0] in _WEEKDAYS else _MONTHS
        other = names[(names.index(day[0]) + 2) % len(names)]
        yield "another day or month", _replace_match(reference, day, other)
    affirms = _AFFIRMS.search(reference)
    if affirms and not _NEGATES.search(reference) and len(_WORD.findall(reference)) > 2:
        yield "its negation", _replace_match(reference, affirms, f"{affirms[0]} not")


def _replace_match(text: str, match: re.Match[str], by: str) -> str:
    return f"{text[: match.start()]}{by}{text[match.end() :]}"


def _says_otherwise(one: str, other: str) -> bool:
    """Return whether two references have nothing in common, so that one is no answer to the other's case.

    Two refusals share no word and still say the same.
    """
    both_decline = bool(_DECLINES.search(one)) and bool(_DECLINES.search(other))
    return bool(_words(one) and _words(other)) and not both_decline and not _share_words(one, other)


def _share_words(one: str, other: str) -> bool:
    return bool(_words(one) & _words(other))


def _words(text: str) -> set[str]:
    """Return the words of a text, without those so short that texts on different things share them."""
    return {word for word in _WORD.findall(text.casefold()) if len(word) > 3 or word.isdigit()}
