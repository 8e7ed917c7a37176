"""What a judge is to the rest: somebody who gives one vote on one answer."""

from __future__ import annotations

from typing import Protocol

from evalkit.judgement import Reading
from evalkit.judging.question import Question
from evalkit.records import Problem


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
    def down(self) -> str:
        """Why it will answer no more in this run; empty while it may."""

    @property
    def refused(self) -> Problem | None:
        """What the user has to mend before it answers, when that is why it is down."""

    async def start(self) -> None:
        """Load what answering takes, so that the first question need not wait for it."""

    async def read(self, question: Question) -> Reading:
        """Judge an answer once."""
