"""Run many trials at once: call the agent, score its output and store the trial.

Each trial is one asyncio task: first the agent, then the metrics, so that some trials are scored
while others wait for the agent. Each trial is saved as soon as it finishes, in any order.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol, TypeAlias

from evalkit.agents.conversation import converse
from evalkit.agents.cost_budget import CostLimitReached
from evalkit.agents.registry import Agent
from evalkit.agents.wrappers import RetryingAgent, find_lane
from evalkit.core.errors import EvalkitError
from evalkit.core.eval_set import Case
from evalkit.core.redaction import Redactor
from evalkit.core.run import RunHeader
from evalkit.core.trial import Score, Trial
from evalkit.metrics.scorers import Scorer
from evalkit.runner.output_scores import score_output
from evalkit.runner.signals import CallsStopped, StopRequest
from evalkit.trace.totals import fill_from_spans

UNREACHABLE_AFTER = 10
"""The number of infrastructure errors in a row, with no answer before them, that ends a run."""

REFUSED_AFTER = 3
"""The number of refusals in a row of a key, a model, or an empty account that ends a run.

Before the first answer, every refused request counts, because it may be refused for the same reasons.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialTask:
    """One trial to run. `answered` is the stored trial whose output only needs scores, if any."""

    case: Case
    number: int
    scorers: tuple[Scorer, ...]
    answered: Trial | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLimits:
    """The limits of a run: concurrent agent calls, trials in flight, and the time and retries of each."""

    concurrency: int
    max_in_flight: int
    timeout_s: float
    attempts: int
    retry_deadline_s: float


def trial_seed(seed: int, case_id: str, number: int) -> int:
    """Return the seed of one trial, which is the same in every run and on every machine."""
    text = f"{seed}/{number}/{case_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4])


class InFlightLimit(asyncio.Semaphore):
    """Limits the trials in flight to `first` until a trial is scored, and then to `maximum`.

    A problem that prevents scores then shows before the agent has been called many times.
    """

    def __init__(self, first: int, maximum: int) -> None:
        super().__init__(first)
        self._reserve = maximum - first

    def widen(self) -> None:
        """Raise the limit to its maximum."""
        while self._reserve > 0:
            self._reserve -= 1
            self.release()


class TrialStore(Protocol):
    """Stores trials as they finish."""

    def store_unscored(self, trial: Trial) -> None:
        """Store an output whose scores are still pending."""

    def save(self, trial: Trial) -> None:
        """Store a finished trial."""


class Runner:
    """Runs tasks with one agent and stores their trials.

    Secrets of the environment are removed from an output before it is scored or stored. No more
    tasks start once `halted` returns a true value, or with `exit_first` after a failed trial.
    """

    def __init__(  # noqa: PLR0913 - tests replace each of these collaborators
        self,
        agent: Agent,
        limits: RunLimits,
        store: TrialStore,
        *,
        seed: int,
        redactor: Redactor,
        halted: Callable[[], object] = bool,
        exit_first: bool = False,
    ) -> None:
        self._agent = agent
        self._lane = find_lane(agent, limits.retry_deadline_s)
        self._redactor = redactor
        self._limits = limits
        self._seed = seed
        self._store = store
        self._halted = halted
        self._exit_first = exit_first
        self._slots = asyncio.Semaphore(limits.concurrency)
        # Twice the concurrency, so that as many trials can be scored as wait for the agent.
        self.in_flight = InFlightLimit(2 * limits.concurrency, limits.max_in_flight)
        self._consecutive_losses = 0
        self._consecutive_refusals = 0
        self._any_answer = self._any_output = False
        self.exited_first = False

    @property
    def unreachable(self) -> bool:
        """Whether all trials so far had an infrastructure error, or the endpoint refuses every call."""
        if self._consecutive_refusals >= REFUSED_AFTER:
            return True
        return not self._any_answer and self._consecutive_losses >= UNREACHABLE_AFTER

    @property
    def is_stopped(self) -> bool:
        """Whether no more tasks start: the agent is unreachable, a trial failed, or `halted` says so."""
        return self.unreachable or self.exited_first or bool(self._halted())

    def share_limits(self, agent: Agent, limits: RunLimits, store: TrialStore) -> Runner:
        """Return a runner for another agent; both share one limit of calls and of trials in flight."""
        other = Runner(
            agent, limits, store, seed=self._seed, redactor=self._redactor, halted=self._halted
        )
        other._slots, other.in_flight = self._slots, self.in_flight
        return other

    async def run_one(self, task: TrialTask, stop: StopRequest) -> None:
        """Run and save one trial, then free its slot; if scores are slow, save the output first.

        Save nothing if the runner stopped, or a stop was requested, before the agent was called. A trial
        whose judge was not asked because of a stop stays unscored.
        """
        try:
            trial = task.answered
            if trial is None:
                trial = await self._call_agent(task, stop)
                if trial is None:
                    return
                if trial.output.error is None and any(each.waits for each in task.scorers):
                    self._store.store_unscored(trial)
            scores: tuple[Score, ...] = ()
            if trial.output.error is None:
                scores = await score_output(task.case, task.scorers, trial.output)
                scores = self._redactor.redact_scores(scores)
            took_s = trial.took_s
            if task.answered is None and trial.started_s is not None:
                took_s = round(max(0.0, time.time() - trial.started_s), 6)
            scored = replace(trial, scores=scores, took_s=took_s)
            if stop.requested.is_set() and scored.state == "judge_error":
                return
            self._store.save(scored)
            if scored.state == "scored":
                self.in_flight.widen()
            if self._exit_first and not scored.is_good:
                self.exited_first = True
        finally:
            self.in_flight.release()

    async def _call_agent(self, task: TrialTask, stop: StopRequest) -> Trial | None:
        """Return the trial without scores; None if the agent may not be called, or not to the end."""
        async with self._slots:
            if stop.requested.is_set() or self.is_stopped:
                return None
            try:
                with stop.cancel_while_idle():
                    return await self._converse(task)
            except (CallsStopped, CostLimitReached):
                return None

    async def _converse(self, task: TrialTask) -> Trial:
        seed = trial_seed(self._seed, task.case.id, task.number)
        started_s = round(time.time(), 6)
        agent = RetryingAgent(
            self._agent,
            attempts=self._limits.attempts,
            lane=self._lane,
        )
        output = await converse(
            agent, task.case, trial=task.number, timeout_s=self._limits.timeout_s, seed=seed
        )
        # An error of the agent itself shows that it can be reached.
        lost = output.error is not None and output.error.retryable
        self._consecutive_losses = self._consecutive_losses + 1 if lost else 0
        self._any_answer = self._any_answer or not lost
        self._any_output = self._any_output or output.error is None
        refused = output.error is not None and (
            output.error.is_lasting or (output.error.kind == "bad_request" and not self._any_output)
        )
        self._consecutive_refusals = self._consecutive_refusals + 1 if refused else 0
        output = self._redactor.redact_output(output)
        if output.spans:  # in a thread, because the prices are slow to load
            output = await asyncio.to_thread(fill_from_spans, output)
        return Trial(
            case_id=task.case.id,
            number=task.number,
            output=output,
            attempts=agent.max_attempts_used,
            started_s=started_s,
        )


Work: TypeAlias = tuple[Runner, TrialTask]
"""A task, and the runner that runs it."""


async def run_all(work: Iterable[Work], stop: StopRequest) -> None:
    """Run tasks until all are done, a stop is requested, or a runner stops.

    Raises:
        EvalkitError: a trial cannot be saved.
    """
    # Cancelling it cancels all trials in flight.
    await stop.finish_in_time(_start_all(work, stop))


async def _start_all(work: Iterable[Work], stop: StopRequest) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for runner, task in work:
                await runner.in_flight.acquire()
                # Check after the wait: meanwhile a signal may have arrived or a trial may have failed.
                if stop.requested.is_set() or runner.is_stopped:
                    break
                group.create_task(runner.run_one(task, stop))
    except* EvalkitError as errors:
        # A full disk fails many trials at once, with equal errors.
        raise errors.exceptions[0] from None


def interleave(base: Iterable[Work], candidate: Iterable[Work]) -> Iterator[Work]:
    """Yield one task of each side in turn; swap the order each time, so that neither is always first.

    >>> "".join(interleave("aaa", "bbbb"))
    'abbaabb'
    """
    for index, pair in enumerate(zip_longest(base, candidate)):
        turn = pair if index % 2 == 0 else pair[::-1]
        yield from (one for one in turn if one is not None)


def list_pending_trials(
    header: RunHeader,
    scorers: Mapping[str, tuple[Scorer, ...]],
    done: Container[tuple[str, int]],
    answered: Mapping[tuple[str, int], Trial],
) -> Iterator[TrialTask]:
    """Yield every trial of a run that is not done, in the order in which trials start.

    The first trials of all cases come first, then the second trials, and so on. Fresh trials are last.

    Args:
        header: the run.
        scorers: the scorers of each case, by case id.
        done: the finished trials, as pairs of case id and trial number.
        answered: stored trials whose output only needs scores, by the same pairs.
    """
    planned = header.planned_trials()
    due = [
        (case, number)
        for number in range(header.trials)
        for case in header.cases
        if number < planned[case.id]
    ]
    due += [
        (case, header.trials + again)
        for case in header.cases
        for again in range(header.fresh.get(case.id, 0))
    ]
    for case, number in due:
        key = (case.id, number)
        if key not in done:
            yield TrialTask(
                case=case, number=number, scorers=scorers[case.id], answered=answered.get(key)
            )
