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

from evalkit.agents import Agent
from evalkit.agents.conversation import converse
from evalkit.agents.retries import RetryingAgent
from evalkit.errors import EvalkitError
from evalkit.metrics import Scorer
from evalkit.records import Case, Output, RunHeader, Score, Trial
from evalkit.redaction import Redactor
from evalkit.tracing.folding import fold_spans

GRACE_S = 10.0
"""How long running trials may finish once a stop was asked for."""

UNREACHABLE_AFTER = 10
"""Trials in a row lost to the infrastructure, with none before that worked, that end a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One trial to be run."""

    case: Case
    number: int
    scorers: tuple[Scorer, ...]
    answered: Trial | None = None
    """The trial as it was, where its output is to be scored again and the agent not asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What bounds a run: agents at work at once, trials under way with them, and patience for each."""

    concurrency: int
    room: int
    timeout_s: float
    attempts: int
    retry_deadline_s: float


class StopSign:
    """Asks a run to stop: `ask` lets running trials finish for a while, a second `ask` does not."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self._grace_s = grace_s

    def ask(self) -> None:
        """Stop starting trials; the second time, or after the grace, drop those that run."""
        if self.asked.is_set():
            self.at_once.set()
        else:
            self.asked.set()
            asyncio.get_running_loop().call_later(self._grace_s, self.at_once.set)


def trial_seed(seed: int, case_id: str, number: int) -> int:
    """The seed an agent gets for one trial: the same whenever and wherever that trial is run."""
    text = f"{seed}/{number}/{case_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4])


class Room:
    """Room for the trials that are under way: little until one is scored, then more.

    What keeps every trial from being scored is thus found out before many agents were asked.
    """

    def __init__(self, first: int, most: int) -> None:
        self._free = asyncio.Semaphore(first)
        self._more = most - first

    async def enter(self) -> None:
        """Wait for a place, first come, first served."""
        await self._free.acquire()

    def leave(self) -> None:
        """Give a place up."""
        self._free.release()

    def widen(self) -> None:
        """Let in as many as there may be."""
        while self._more > 0:
            self._more -= 1
            self._free.release()


class TrialStore(Protocol):
    """Where trials are stored as they come along."""

    def keep(self, trial: Trial) -> None:
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
        limits: Limits,
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
        self.room = Room(2 * limits.concurrency, limits.room)
        self._lost_in_a_row = 0
        self._any_answer = False

    @property
    def unreachable(self) -> bool:
        """Whether every trial so far was lost to the infrastructure, and enough of them."""
        return not self._any_answer and self._lost_in_a_row >= UNREACHABLE_AFTER

    @property
    def is_at_end(self) -> bool:
        """Whether no more trials are to be started, because nobody answers or nobody judges."""
        return self.unreachable or bool(self._halted())

    def beside(self, agent: Agent, limits: Limits, store: TrialStore) -> Runner:
        """A runner of another agent that shares this one's room: both together are as many at once."""
        other = Runner(
            agent,
            limits,
            store,
            seed=self._seed,
            redactor=self._redactor,
            halted=self._halted,
        )
        other._slots, other.room = self._slots, self.room
        return other

    async def run_one(self, assignment: Assignment) -> None:
        """Run one trial, for which there is room, and save it; its answer first if its scores take long."""
        try:
            trial = assignment.answered
            if trial is None:
                async with self._slots:
                    trial = await self._ask(assignment)
                if trial.output.error is None and any(each.waits for each in assignment.scorers):
                    self._store.keep(trial)
            scores: tuple[Score, ...] = ()
            if trial.output.error is None:
                scores = await score_output(assignment.case, assignment.scorers, trial.output)
            scored = replace(trial, scores=scores)
            self._store.save(scored)
            if scored.state == "scored":
                self.room.widen()
        finally:
            self.room.leave()

    async def _ask(self, assignment: Assignment) -> Trial:
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
        self._lost_in_a_row = self._lost_in_a_row + 1 if lost else 0
        self._any_answer = self._any_answer or not lost
        return Trial(
            case_id=assignment.case.id,
            number=assignment.number,
            output=fold_spans(self._redactor.clean(output)),
            attempts=patient.most_attempts,
        )


Work: TypeAlias = tuple[Runner, Assignment]
"""A trial, and who runs it."""


async def run_all(work: Iterable[Work], stop: StopSign) -> None:
    """Run until all is done, a stop is asked for, or an agent is found unreachable.

    Raises:
        EvalkitError: what saving a trial raised.
    """
    working = asyncio.ensure_future(_start_all(work, stop))
    at_once = asyncio.ensure_future(stop.at_once.wait())
    try:
        await asyncio.wait({working, at_once}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        at_once.cancel()
        working.cancel()
        await asyncio.gather(at_once, working, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _start_all(work: Iterable[Work], stop: StopSign) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for runner, assignment in work:
                await runner.room.enter()
                if stop.asked.is_set() or runner.is_at_end:
                    break
                group.create_task(runner.run_one(assignment))
    except* EvalkitError as trouble:
        raise trouble.exceptions[0] from None


def take_turns(base: Iterable[Work], candidate: Iterable[Work]) -> Iterator[Work]:
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


def assign(
    header: RunHeader,
    scorers: Mapping[str, tuple[Scorer, ...]],
    done: Container[tuple[str, int]],
    answered: Mapping[tuple[str, int], Trial] | None = None,
) -> Iterable[Assignment]:
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
            yield Assignment(
                case=case,
                number=number,
                scorers=scorers[case.id],
                answered=(answered or {}).get((case.id, number)),
            )
