"""A judge for tests that costs something, says what it is told to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.judge.judge import JudgeRequest

Saying = Callable[[JudgeRequest, int], str]
"""The level for a question asked for the n-th time, or "" for no verdict."""


class ScriptedJudge:
    name = "scripted"
    digest = "scripted-1"
    is_local = False
    votes = 1
    down_reason = ""
    problem_to_fix: Problem | None = None

    def __init__(self, saying: Saying, model: str = "model-1") -> None:
        self.saying = saying
        self.model = model
        self.asked: list[JudgeRequest] = []

    async def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def bound_calls(self, votes: int) -> int:
        return votes

    async def grade(self, question: JudgeRequest) -> JudgeVote:
        self.asked.append(question)
        times = sum(each.answer == question.answer for each in self.asked)
        reading = JudgeVote(judge=self.name, digest=self.digest, model=self.model, calls=1)
        level = self.saying(question, times)
        if not level:
            return JudgeVote(
                state="unscored", kind="prose", problem="prose", judge=self.name, calls=1
            )
        verdicts = tuple(
            CriterionVerdict(
                criterion=criterion.name,
                level=level,
                value=found.value if (found := criterion.level(level)) else 0.0,
            )
            for criterion in question.criteria
        )
        return JudgeVote(
            judge=reading.judge,
            digest=reading.digest,
            model=reading.model,
            calls=1,
            verdicts=verdicts,
        )


class ScriptedKind:
    """Stands in for the module of a kind of judge."""

    def __init__(self, judge: ScriptedJudge) -> None:
        self.judge = judge

    def check(self, _spec: JudgeSpec, _surroundings: RunEnvironment) -> list[str]:
        return []

    @asynccontextmanager
    async def open(
        self, _spec: JudgeSpec, _surroundings: RunEnvironment
    ) -> AsyncIterator[ScriptedJudge]:
        yield self.judge
