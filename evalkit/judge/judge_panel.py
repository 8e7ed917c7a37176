"""The interface of all judges of a run together: one judge with fallbacks, or a jury."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from evalkit.core.judgement import Judgement, JudgeTrust, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.judge.anchors import LabeledAnswer
from evalkit.judge.control_bound import ControlBound
from evalkit.judge.judge import Judge, JudgeRequest


class JudgeIdentity(Protocol):
    """Who gives a verdict: one judge, or a jury."""

    @property
    def name(self) -> str:
        """The name in reports, without secrets."""

    @property
    def digest(self) -> str:
        """A key of everything that can change the verdicts."""


class JudgePanel(Protocol):
    """The judges of a run: one judge with fallbacks, or a jury."""

    @property
    def judges(self) -> tuple[Judge, ...]:
        """All of them, in the order of the set."""

    @property
    def has_judge(self) -> bool:
        """Whether there is any judge."""

    @property
    def active_judge(self) -> JudgeIdentity:
        """Who gives the next verdict; the same object while it stays the same."""

    @property
    def down_reason(self) -> str:
        """Why no verdict is given any more; empty while there may be one."""

    @property
    def problem_to_fix(self) -> Problem | None:
        """The problem that the user must fix before there is a verdict, if that is why there is none."""

    def register_rubric(
        self, metric: str, rubric: Rubric, anchors: Sequence[LabeledAnswer] = ()
    ) -> None:
        """Judge a rubric's controls and anchors together with the agent's answers."""

    def bound_controls(self, answers: Mapping[str, int]) -> ControlBound:
        """Return how often each judge is asked controls and anchors; `answers` are new votes by metric."""

    async def warm_up(self) -> None:
        """Load everything that the first vote needs, without asking a judge."""

    async def collect_votes(self, metric: str, request: JudgeRequest) -> tuple[JudgeVote, ...]:
        """Return every vote on an answer."""

    async def settle_checks(self, stored: Iterable[Judgement]) -> None:
        """Check the judges of these judgments to the end, if another judge can take over."""

    async def finish(self, stored: Iterable[Judgement] = ()) -> JudgeTrust:
        """Ask the last controls, and return the evidence of how far the judges can be trusted."""

    def stop(self) -> None:
        """Start no further call; requests in flight may finish."""

    def cancel(self) -> None:
        """Stop every request in progress."""
