"""The interface of a judge, which gives one vote on one answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

from evalkit.core.judgement import JudgeVote
from evalkit.core.labels import HumanLabel
from evalkit.core.location import Problem
from evalkit.core.rubric import Control, Criterion, Example, Level, Rubric
from evalkit.core.serialization import digest

_PLAIN_NAME = re.compile(r"(?!criterion_\d)[A-Za-z][A-Za-z0-9_-]{0,63}")


PAIR_LEVELS = (
    Level(name="A", value=1.0, description="answer_A is better."),
    Level(name="tie", value=0.5, description="Neither is better, or the difference is too small."),
    Level(name="B", value=0.0, description="answer_B is better."),
)
"""The levels of every criterion when a judge compares two answers; the values are those of answer A."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherAnswer:
    """The second of two answers that a judge compares, and which end of the levels is the better one."""

    text: str
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeRequest:
    """One answer to judge by some criteria; `vote` is the number of the vote on it, from 0.

    With `other`, the judge compares two answers: `answer` is shown first, as A, and `other` as B.
    """

    criteria: tuple[Criterion, ...]
    answer: str
    input: str = ""
    reference: str = ""
    context: str = ""
    description: str = ""
    vote: int = 0
    other: OtherAnswer | None = None

    @classmethod
    def of(cls, rubric: Rubric, shown: Control | HumanLabel) -> JudgeRequest:
        """Return the request for a control or a label, with the texts that a judge would see in a run."""
        return cls(
            criteria=rubric.judged_criteria,
            answer=shown.answer,
            input=shown.input,
            reference=shown.reference if "reference" in rubric.needs else "",
            context=shown.context if "context" in rubric.needs else "",
            description=rubric.description,
        )

    @property
    def is_answer_first(self) -> bool:
        """Whether the judge sees the answer before the reference, which is the case in every other vote.

        The order of the texts biases judges; alternating it balances the bias.
        """
        return bool(self.reference) and self.vote % 2 == 1

    @property
    def digest(self) -> str:
        """A key of all that a judge sees; weights, values and pass mark are not part of it."""
        criteria = [
            [
                criterion.name,
                criterion.question,
                [[level.name, level.description] for level in criterion.levels],
                criterion.otherwise,
                [
                    [getattr(example, name) for name in Example.__dataclass_fields__]
                    for example in criterion.examples
                ],
            ]
            for criterion in self.criteria
        ]
        texts = [self.answer, self.input, self.reference, self.context, self.description]
        if self.other is not None:
            # Another form than that of a single answer, so that the two never share a vote.
            return digest(["pair", criteria, texts, self.other.text, self.vote])
        return digest([criteria, texts, self.vote])

    @property
    def judged_text(self) -> str:
        """The text that evidence is quoted from: the answer, or both answers."""
        return f"{self.answer}\n{self.other.text}" if self.other is not None else self.answer


class Judge(Protocol):
    """Gives one vote on one answer; a failure is a vote of that state, never an exception."""

    @property
    def name(self) -> str:
        """The judge's name in reports, such as `gpt-4o at api.openai.com`, without secrets."""

    @property
    def digest(self) -> str:
        """A key of everything about the judge that can change its verdicts."""

    @property
    def is_local(self) -> bool:
        """Whether a vote costs nothing, so that caching is not worthwhile."""

    @property
    def votes(self) -> int:
        """How many votes it gives on each answer."""

    @property
    def down_reason(self) -> str:
        """Why it will not answer any more in this run; empty while it may."""

    @property
    def problem_to_fix(self) -> Problem | None:
        """The problem that the user must fix before it answers, if that is why it is down."""

    async def start(self) -> None:
        """Load everything that the first vote needs."""

    def stop(self) -> None:
        """Start no further call and end all waits; calls in flight may finish."""

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge an answer once."""

    def bound_calls(self, votes: int) -> int:
        """Return the most requests that so many votes can take, without retries after failures."""


def make_criterion_key(number: int, criterion: Criterion) -> str:
    """Return the key of a criterion in a reply: its name if that is a safe key, else its number."""
    return criterion.name if _PLAIN_NAME.fullmatch(criterion.name) else f"criterion_{number + 1}"


def key_criteria(request: JudgeRequest) -> dict[str, Criterion]:
    """Return the criteria of a request by their keys in the reply, with the levels that are offered."""
    return {
        make_criterion_key(number, criterion): (
            criterion if request.other is None else replace(criterion, levels=PAIR_LEVELS)
        )
        for number, criterion in enumerate(request.criteria)
    }
