"""Asks the agent every question and scores every answer: assignments -> stored trials.

The only scheduler. One task a trial: agent, then metrics, so that scoring goes on while other
agents still work. What finishes is saved at once, in whatever order it finishes.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol, TypeAlias

from evalkit.agents.conversation import converse
from evalkit.agents.registry import Agent
from evalkit.agents.wrappers import RetryingAgent
from evalkit.core.errors import EvalkitError
from evalkit.core.eval_set import Case
from evalkit.core.redaction import Redactor
from evalkit.core.run import RunHeader
from evalkit.core.trial import Output, Score, Trial
from evalkit.metrics.scorers import Scorer
from evalkit.runner.signals import StopRequest
from evalkit.trace.totals import fill_from_spans

UNREACHABLE_AFTER = 10
"""Trials in a row lost to the infrastructure, with none before that worked, that end a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialTask:
    """One trial to be run."""

    case: Case
    number: int
    scorers: tuple[Scorer, ...]
    answered: Trial | None = None
    """The trial as it was, where its output is to be scored again and the agent not asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLimits:
    """What bounds a run: agents at work at once, trials under way with them, and patience for each."""

    concurrency: int
    max_in_flight: int
    timeout_s: float
    attempts: int
    retry_deadline_s: float


def trial_seed(seed: int, case_id: str, number: int) -> int:
    """The seed an agent gets for one trial: the same whenever and wherever that trial is run."""
    text = f"{seed}/{number}/{case_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4])


class InFlightLimit:
    """Room for the trials that are under way: little until one is scored, then more.

    What keeps every trial from being scored is thus found out before many agents were asked.
    """

    def __init__(self, first: int, most: int) -> None:
        self._free = asyncio.Semaphore(first)
        self._reserve = most - first

    async def acquire(self) -> None:
        """Wait for a place, first come, first served."""
        await self._free.acquire()

    def release(self) -> None:
        """Give a place up."""
        self._free.release()

    def widen(self) -> None:
        """Let in as many as there may be."""
        while self._reserve > 0:
            self._reserve -= 1
            self._free.release()


class TrialStore(Protocol):
    """Where trials are stored as they come along."""

    def store_unscored(self, trial: Trial) -> None:
        """Store an answer whose scores will be long in coming."""

    def save(self, trial: Trial) -> None:
        """Store a finished trial."""


class Runner:
    """Runs assignments against one agent, into a store.

    No secret of the environment gets past an answer, to a metric or to the disk. No more are started once
    `halted` says something; `unreachable` tells afterwards that the run was given up because nothing
    answered.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the world that tests replace
        self,
        agent: Agent,
        limits: RunLimits,
        store: TrialStore,
        *,
        seed: int,
        redactor: Redactor,
        halted: Callable[[], object] = bool,
    ) -> None:
        self._agent = agent
        self._redactor = redactor
        self._limits = limits
        self._seed = seed
        self._store = store
        self._halted = halted
        self._slots = asyncio.Semaphore(limits.concurrency)
        self.in_flight = InFlightLimit(2 * limits.concurrency, limits.max_in_flight)
        self._consecutive_losses = 0
        self._any_answer = False

    @property
    def unreachable(self) -> bool:
        """Whether every trial so far was lost to the infrastructure, and enough of them."""
        return not self._any_answer and self._consecutive_losses >= UNREACHABLE_AFTER

    @property
    def is_stopped(self) -> bool:
        """Whether no more trials are to be started, because nobody answers or nobody judges."""
        return self.unreachable or bool(self._halted())

    def share_limits(self, agent: Agent, limits: RunLimits, store: TrialStore) -> Runner:
        """A runner of another agent that shares this one's room: both together are as many at once."""
        other = Runner(
            agent,
            limits,
            store,
            seed=self._seed,
            redactor=self._redactor,
            halted=self._halted,
        )
        other._slots, other.in_flight = self._slots, self.in_flight
        return other

    async def run_one(self, assignment: TrialTask) -> None:
        """Run one trial, for which there is room, and save it; its answer first if its scores take long."""
        try:
            trial = assignment.answered
            if trial is None:
                async with self._slots:
                    trial = await self._call_agent(assignment)
                if trial.output.error is None and any(each.waits for each in assignment.scorers):
                    self._store.store_unscored(trial)
            scores: tuple[Score, ...] = ()
            if trial.output.error is None:
                scores = await score_output(assignment.case, assignment.scorers, trial.output)
            scored = replace(trial, scores=scores)
            self._store.save(scored)
            if scored.state == "scored":
                self.in_flight.widen()
        finally:
            self.in_flight.release()

    async def _call_agent(self, assignment: TrialTask) -> Trial:
        seed = trial_seed(self._seed, assignment.case.id, assignment.number)
        patient = RetryingAgent(
            self._agent,
            attempts=self._limits.attempts,
            deadline_s=self._limits.retry_deadline_s,
            sleep=asyncio.sleep,
            rng=random.Random(seed),  # noqa: S311 - spreads retries over time
        )
        output = await converse(
            patient,
            assignment.case,
            trial=assignment.number,
            timeout_s=self._limits.timeout_s,
            seed=seed,
        )
        lost = output.error is not None and output.error.retryable
        self._consecutive_losses = self._consecutive_losses + 1 if lost else 0
        self._any_answer = self._any_answer or not lost
        return Trial(
            case_id=assignment.case.id,
            number=assignment.number,
            output=fill_from_spans(self._redactor.redact_output(output)),
            attempts=patient.max_attempts_used,
        )


Work: TypeAlias = tuple[Runner, TrialTask]
"""A trial, and who runs it."""


async def run_all(work: Iterable[Work], stop: StopRequest) -> None:
    """Run until all is done, a stop is asked for, or an agent is found unreachable.

    Raises:
        EvalkitError: what saving a trial raised.
    """
    working = asyncio.ensure_future(_start_all(work, stop))
    at_once = asyncio.ensure_future(stop.immediate.wait())
    try:
        await asyncio.wait({working, at_once}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        at_once.cancel()
        working.cancel()
        await asyncio.gather(at_once, working, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _start_all(work: Iterable[Work], stop: StopRequest) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for runner, assignment in work:
                await runner.in_flight.acquire()
                if stop.requested.is_set() or runner.is_stopped:
                    break
                group.create_task(runner.run_one(assignment))
    except* EvalkitError as trouble:
        raise trouble.exceptions[0] from None


def interleave(base: Iterable[Work], candidate: Iterable[Work]) -> Iterator[Work]:
    """One trial of each in turn; who goes first changes, so that coming second favours neither.

    >>> "".join(take_turns("aaa", "bbbb"))
    'abbaabb'
    """
    for index, pair in enumerate(zip_longest(base, candidate)):
        turn = pair if index % 2 == 0 else pair[::-1]
        yield from (one for one in turn if one is not None)


async def score_output(case: Case, scorers: Iterable[Scorer], output: Output) -> tuple[Score, ...]:
    """Every score of one answer, in the order of the metrics; what waits for others waits together."""
    scorers = tuple(scorers)
    pending = [scorer.score(case, output) for scorer in scorers]
    if not any(scorer.waits for scorer in scorers):
        return tuple([await score for score in pending])
    return tuple(await asyncio.gather(*pending))


def list_pending_trials(
    header: RunHeader,
    scorers: Mapping[str, tuple[Scorer, ...]],
    done: Container[tuple[str, int]],
    answered: Mapping[tuple[str, int], Trial] | None = None,
) -> Iterable[TrialTask]:
    """Every trial that a run calls for and that is not done, in the order they are to be started.

    That is all first trials, then all second ones, in the order of cases; then the fresh ones.
    `scorers` are those of each case id; `done` holds pairs of case id and trial number; `answered` are
    trials whose output is there and is only to be scored again.
    """
    due = [(case, number) for number in range(header.trials) for case in header.cases]
    due += [
        (case, header.trials + again)
        for case in header.cases
        for again in range(header.fresh.get(case.id, 0))
    ]
    for case, number in due:
        if (case.id, number) not in done:
            yield TrialTask(
                case=case,
                number=number,
                scorers=scorers[case.id],
                answered=(answered or {}).get((case.id, number)),
            )
