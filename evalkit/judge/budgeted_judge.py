"""Ask a judge for a vote only while its money lasts, and not after a stop."""

from __future__ import annotations

from evalkit.agents.cost_budget import CostBudget, CostLimitReached
from evalkit.core.judgement import JudgeVote
from evalkit.core.location import Problem
from evalkit.judge.judge import Judge, JudgeRequest

STOPPED = "the run is being stopped"


class BudgetedJudge:
    """A judge whose votes are paid from a budget; without money it is down.

    A vote is one paid call: its repeated requests count together.
    """

    def __init__(self, judge: Judge, budget: CostBudget) -> None:
        self._judge = judge
        self._budget = budget
        self.name = judge.name
        self.digest = judge.digest
        self.is_local = judge.is_local
        self.votes = judge.votes

    @property
    def down_reason(self) -> str:
        """Why the judge, or its money, gives no more votes; empty while it may."""
        return self._judge.down_reason or self._budget.refusal

    @property
    def problem_to_fix(self) -> Problem | None:
        """The problem that the user must fix before the judge can vote, if there is one."""
        return self._judge.problem_to_fix

    async def start(self) -> None:
        """Load everything that the first vote needs."""
        await self._judge.start()

    def stop(self) -> None:
        """Start no further call; calls in flight may finish."""
        self._judge.stop()
        self._budget.close(STOPPED)

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge an answer once; wait until the money for that is certain."""
        try:
            async with self._budget.pay() as call:
                vote = await self._judge.grade(request)
                call.cost_usd = vote.cost_usd
                call.is_answered = vote.state != "judge_error"
                return vote
        except CostLimitReached as reached:
            return JudgeVote(
                state="judge_error",
                kind="judge_down",
                problem=str(reached),
                judge=self.name,
                digest=self.digest,
            )

    def bound_calls(self, votes: int) -> int:
        """Return the most requests that so many votes can take."""
        return self._judge.bound_calls(votes)
