"""How often a judge is trusted, by how often it is wrong: the operating curve of the controls.

Every draw is a run of the shipped `ControlWatch`, with its positions, its repeated questions and its further
controls, beside verdicts on so many answers of an agent. The judge is simulated; nothing else is. It passes
bad answers, fails good ones, or errs both ways in a share of its calls; or it is honest for a number of
calls and then passes everything, fails everything, or passes the answers about the agent's own cases. Half
of the agent's answers repeat their reference, and half are wrong. Every share has its standard error.

Targets: a judge that is wrong in 2 % of its calls is trusted in at least 95 % of runs, one that is wrong in
20 % both ways or that passes 20 % of bad answers in at most 10 %; one that turns after 20 calls is caught in
at least 95 %; and a judge that makes no error is asked controls in at most 6 % of its calls on 200 answers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt

from evalkit.core.judgement import CriterionVerdict, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Criterion, Rubric
from evalkit.judge.control_watch import ControlWatch
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.votes import VoteSource
from evalkit.store.cache import NoCache
from tests.bench.measuring import print_table, wants_quick

RUNS, QUICK_RUNS = 1000, 4
RATES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
ANSWERS = (50, 100, 200)
TURN = 20

RUBRIC = Rubric(
    name="correctness",
    path="",
    criteria=(Criterion(name="right", question="Is it right?"),),
    needs=("reference",),
)
CASES = tuple(
    JudgeRequest(
        criteria=RUBRIC.criteria,
        input=f"What is the capital of country {number}?",
        reference=f"Capital{number}town",
        answer=f"Capital{number}town" if number % 2 else "No idea.",
    )
    for number in range(max(ANSWERS))
)
INPUTS = {case.input for case in CASES}

Verdict = Callable[[JudgeRequest, bool, int, random.Random], bool]
"""Whether a judge passes a request, by whether it is right, and by how many calls there were before."""


@dataclass
class SimulatedJudge:
    """A judge that knows what is right, and errs as it is told."""

    verdict: Verdict
    draw: random.Random
    name: str = "simulated"
    digest: str = "simulated"
    is_local: bool = False
    votes: int = 1
    down_reason: str = ""
    problem_to_fix: Problem | None = None
    asked: int = field(default=0)

    async def start(self) -> None:
        """Load nothing."""

    def stop(self) -> None:
        """Stop nothing."""

    def bound_calls(self, votes: int) -> int:
        """Return what it is asked."""
        return votes

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Pass or fail every criterion."""
        said = request.answer.strip() == (request.reference or request.context).strip()
        passes = self.verdict(request, said, self.asked, self.draw)
        self.asked += 1
        verdicts = (
            CriterionVerdict(
                criterion=criterion.name,
                level=criterion.levels[0 if passes else -1].name,
                value=float(passes),
            )
            for criterion in request.criteria
        )
        return JudgeVote(verdicts=tuple(verdicts), judge=self.name, digest=self.digest, calls=1)


def err_both_ways(rate: float) -> Verdict:
    """Be wrong in a share of all calls."""
    return lambda _request, right, _asked, draw: right != (draw.random() < rate)


def pass_bad(rate: float) -> Verdict:
    """Pass a share of bad answers."""
    return lambda _request, right, _asked, draw: right or draw.random() < rate


def fail_good(rate: float) -> Verdict:
    """Fail a share of good answers."""
    return lambda _request, right, _asked, draw: right and draw.random() >= rate


KINDS = {"errs both ways": err_both_ways, "passes bad": pass_bad, "fails good": fail_good}


def turn(says: Callable[[JudgeRequest, bool], bool]) -> Verdict:
    """Be honest for some calls, and say something else from then on."""
    return lambda request, right, asked, _draw: right if asked < TURN else says(request, right)


DECAYS: dict[str, Verdict] = {
    "passes everything": turn(lambda _request, _right: True),
    "fails everything": turn(lambda _request, _right: False),
    "passes the agent's cases": turn(lambda request, right: right or request.input in INPUTS),
}


async def run_once(verdict: Verdict, answers: int, draw: random.Random) -> tuple[bool, int]:
    """Return whether a judge is trusted after a run, and how many controls it was asked."""
    judge = SimulatedJudge(verdict, draw)
    votes = VoteSource(NoCache(JudgeVote), str)
    watch = ControlWatch("correctness", judge, RUBRIC, votes, draw)
    for request in CASES[:answers]:
        watch.notice_answer(request)
        watch.notice_vote(request, await judge.grade(request))
        await watch.settle()
    results = await watch.finish()
    return all(result.held for result in results), judge.asked - answers


@dataclass(frozen=True)
class Curve:
    """The share of runs in which a judge is trusted, and the controls that it is asked on average."""

    trusted: float
    error: float
    controls: float

    @property
    def cells(self) -> tuple[str, str, str]:
        """The share in percent, its standard error, and the controls."""
        return f"{100 * self.trusted:.1f}", f"{100 * self.error:.1f}", f"{self.controls:.1f}"


async def measure_trust(verdict: Verdict, answers: int, runs: int, seed: int) -> Curve:
    """Return how often a judge is trusted."""
    draw = random.Random(seed)
    found = [await run_once(verdict, answers, draw) for _ in range(runs)]
    share = sum(trusted for trusted, _ in found) / runs
    # By the rule of succession, so that a share of 0 or 1 has an error as well.
    smooth = (share * runs + 1) / (runs + 2)
    return Curve(
        trusted=share,
        error=sqrt(smooth * (1 - smooth) / runs),
        controls=sum(controls for _, controls in found) / runs,
    )


def measure_rates(runs: int) -> list[list[str]]:
    """Return the rows of the table by error rate, on the most answers."""
    rows = []
    for name, kind in KINDS.items():
        for rate in RATES:
            curve = asyncio.run(measure_trust(kind(rate), max(ANSWERS), runs, seed=1))
            share = curve.controls / (curve.controls + max(ANSWERS))
            rows.append([f"{name}, {rate:.0%}", *curve.cells, f"{100 * share:.1f}"])
    return rows


def measure_decays(runs: int) -> list[list[str]]:
    """Return how often a judge that turns after some calls is trusted, by the answers of the run."""
    rows = []
    for name, verdict in DECAYS.items():
        for answers in ANSWERS:
            curve = asyncio.run(measure_trust(verdict, answers, runs, seed=1))
            rows.append([f"{name}, {answers} answers", *curve.cells])
    return rows


def main() -> None:
    """Print both tables."""
    runs = QUICK_RUNS if wants_quick(__doc__) else RUNS
    heads = ("trusted %", "± (1 s.e.)", "controls asked")
    print_table(
        f"A judge that is wrong in a share of its calls, {max(ANSWERS)} answers",
        ("judge", *heads, "% of calls"),
        measure_rates(runs),
    )
    print_table(f"A judge that turns after {TURN} calls", ("judge", *heads), measure_decays(runs))


if __name__ == "__main__":
    main()
