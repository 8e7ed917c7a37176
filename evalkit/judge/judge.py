"""What a judge is to the rest: somebody who gives one vote on one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from evalkit.core.judgement import JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Criterion, Example
from evalkit.core.serialization import digest


class Judge(Protocol):
    """Gives one vote on one answer; trouble is a reading of that state, never an exception."""

    @property
    def name(self) -> str:
        """Who judges, for people: `gpt-4o at api.openai.com`; holds no secret."""

    @property
    def digest(self) -> str:
        """Covers everything about the judge that can change its verdicts."""

    @property
    def is_local(self) -> bool:
        """Whether asking costs nothing, so that verdicts need not be kept."""

    @property
    def votes(self) -> int:
        """How often each answer is judged."""

    @property
    def down_reason(self) -> str:
        """Why it will answer no more in this run; empty while it may."""

    @property
    def problem_to_fix(self) -> Problem | None:
        """What the user has to mend before it answers, when that is why it is down."""

    async def start(self) -> None:
        """Load what answering takes, so that the first question need not wait for it."""

    async def grade(self, question: JudgeRequest) -> JudgeVote:
        """Judge an answer once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeRequest:
    """One answer to be judged by some criteria; `vote` counts from 0 when it is judged several times."""

    criteria: tuple[Criterion, ...]
    answer: str
    input: str = ""
    reference: str = ""
    context: str = ""
    description: str = ""
    vote: int = 0

    @property
    def is_answer_first(self) -> bool:
        """Whether the answer is shown before the reference: every other vote, as order may sway."""
        return bool(self.reference) and self.vote % 2 == 1

    @property
    def digest(self) -> str:
        """Covers all that a judge is shown and nothing else: neither weights nor values nor pass mark."""
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
        return digest([criteria, texts, self.vote])
