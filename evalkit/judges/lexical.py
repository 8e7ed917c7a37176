"""The judge without a model: compares an answer's words with the reference and the labelled examples.

It is deterministic, needs no network, and understands nothing: it serves demonstrations, tests and CI
without a key, and is named in every report as what it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.digest import digest
from evalkit.judgement import CriterionVerdict, JudgeSpec, Reading
from evalkit.judging.floor import fold_words
from evalkit.judging.question import Question
from evalkit.records import Problem, Surroundings
from evalkit.rubric import Criterion

LEAST_LIKENESS = 0.5

VERSION = 1
"""Raised whenever equal answers get other levels than before."""


def check(spec: JudgeSpec, surroundings: Surroundings) -> list[str]:  # noqa: ARG001 - it needs nothing
    """Refuse arguments: it takes none."""
    return ["it takes no arguments. Write `judge: lexical`."] if spec.args else []


@asynccontextmanager
async def open(  # noqa: A001 - every kind of judge has a check and an open
    spec: JudgeSpec,  # noqa: ARG001 - it needs nothing
    surroundings: Surroundings,  # noqa: ARG001 - likewise
) -> AsyncIterator[LexicalJudge]:
    """Yield the judge."""
    yield LexicalJudge()


@dataclass(frozen=True, slots=True)
class LexicalJudge:
    """Gives the level whose labelled words are most like the answer's."""

    name: str = "lexical"
    is_local: bool = True
    votes: int = 1
    down: str = ""
    refused: Problem | None = None

    @property
    def digest(self) -> str:
        """Of its rules; there is nothing else to it."""
        return digest(["lexical", VERSION])

    async def start(self) -> None:
        """There is nothing to load."""

    async def read(self, question: Question) -> Reading:
        """Judge every criterion by itself."""
        verdicts = tuple(_decide(criterion, question) for criterion in question.criteria)
        return Reading(verdicts=verdicts, judge=self.name, digest=self.digest)


def _decide(criterion: Criterion, question: Question) -> CriterionVerdict:
    """The level of the labelled text that is most like the answer; the lowest when none is like it."""
    answer = frozenset(fold_words(question.answer).split())
    best = max(criterion.levels, key=lambda level: level.value)
    labelled = [(example.answer, example.level) for example in criterion.examples]
    if question.reference:
        labelled.append((question.reference, best.name))
    found = [(_overlap(answer, text), name) for text, name in labelled]
    likeness, name = max(found, default=(0.0, criterion.lowest.name))
    level = criterion.level(name) if likeness >= LEAST_LIKENESS else None
    level = level or criterion.lowest
    return CriterionVerdict(
        criterion=criterion.name,
        level=level.name,
        value=level.value,
        explanation=f"shares {likeness:.0%} of its words with a text of level {name}",
    )


def _overlap(answer: frozenset[str], text: str) -> float:
    words = frozenset(fold_words(text).split())
    return len(answer & words) / len(words) if words else 0.0
