"""Check one judge under one rubric during a whole run, with controls spread over its verdicts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from evalkit.core.judgement import ControlResult, Judgement, JudgeVote
from evalkit.core.rubric import Rubric
from evalkit.judge.case_controls import CaseControls, repeats_reference
from evalkit.judge.control_evidence import ENOUGH, MAX_ASKED, count_needed, is_suspicious
from evalkit.judge.control_tally import ControlTally
from evalkit.judge.controls import (
    BUILT_IN_CONTROL_RUBRIC,
    KnownAnswer,
    list_controls,
    list_further_controls,
)
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.judge.scoring import combine_votes, score_verdicts
from evalkit.judge.votes import VoteSource

PLANNED = ENOUGH + 1
"""The fewest controls that a judge is asked in a run: one good one, and enough bad ones."""

FIRST = 2
"""The bad controls that are asked with the first answer."""

BLOCK = 25
"""The answers among which one control is asked, at a random position. Once the planned controls are asked,
a block is twice as long."""

CASE_CONTROLS = 2
"""The planned bad controls that are built from cases of the run; one of them is the last."""

DRIFT_CONTROLS = 2
MAX_DRIFTS = 3
"""The bad controls that are asked when another model answers, and for how many models."""

CASE_SHARE = 0.5
"""The share of controls about cases among those drawn after the planned ones."""

REDRAWS = 8
"""How often another control is drawn in place of one that was asked already."""

BATCH = 8
"""The most further controls that are asked at once to decide about a judge that got one wrong."""


class ControlBound(NamedTuple):
    """How often a judge is asked controls and anchors: `expected` of one without an error, and `at_most`."""

    expected: int
    at_most: int


def bound_controls(rubric: Rubric, answers: int, anchors: int) -> ControlBound:
    """Return how often a judge is asked controls and anchors beside so many answers."""
    good, bad = _count_kinds(rubric)
    # The last control is at the end, the first ones at the beginning, and each other one has a block.
    spread = BLOCK * (bad - FIRST - 1)
    expected = good + bad + -(-max(0, answers - spread) // (2 * BLOCK))
    drifts = MAX_DRIFTS * (DRIFT_CONTROLS + 1)
    # Those that are lost are asked again; those of each kind that decide after a wrong answer are few.
    at_most = 2 * (expected + drifts) + 2 * (MAX_ASKED + BATCH)
    return ControlBound(expected=expected + anchors, at_most=at_most + anchors)


def _count_kinds(rubric: Rubric) -> tuple[int, int]:
    """Return how many good and how many bad controls are planned for a rubric."""
    listed = list_controls(rubric)
    good = sum(known.control.passes for known in listed)
    from_cases = 1 if "reference" in rubric.needs else 0
    return good, max(PLANNED - good, len(listed) - good + from_cases)


class ControlWatch:
    """Asks a judge the controls of a rubric, and decides by all its answers whether it can be trusted.

    A control that is answered wrong is asked once more, and decides against the judge if it is wrong
    again. Otherwise further controls decide. `draw` chooses the order and the positions. A local judge,
    which costs nothing and never changes, is asked every listed control once.
    """

    def __init__(
        self, metric: str, judge: Judge, rubric: Rubric, votes: VoteSource, draw: random.Random
    ) -> None:
        self._metric, self._judge, self._rubric = metric, judge, rubric
        self._votes, self._draw = votes, draw
        self._cases = CaseControls(rubric, draw)
        listed = list_controls(rubric)
        built_in = KnownAnswer.of(BUILT_IN_CONTROL_RUBRIC.controls[0], BUILT_IN_CONTROL_RUBRIC)
        self._good = [known for known in listed if known.control.passes] or [built_in]
        self._bad = [known for known in listed if not known.control.passes]
        known_names = {known.control.name for known in listed}
        self._further = [
            each for each in list_further_controls() if each.control.name not in known_names
        ]
        # None is built from a case, once some are known.
        self._queue: list[KnownAnswer | None] = draw.sample(self._bad, len(self._bad))
        if not judge.is_local:
            missing = _count_kinds(rubric)[1] - len(self._bad)
            from_cases = min(missing, CASE_CONTROLS)
            self._queue += draw.sample(self._further, missing - from_cases)
            self._queue += [None] * (from_cases - 1)
            draw.shuffle(self._queue)
            self._queue += [None] * (from_cases > 0)
        self._tally = ControlTally(is_constant=judge.is_local)
        self._models: list[str] = []
        self._drawn = {known.control.name for known in self._queue if known}
        self._tasks: list[asyncio.Task[None]] = []
        self._answers = self._next_at = 0
        self._finished_at = -1
        # Answers that repeat their reference, and how many of them the judge failed.
        self._repeating = self._failed_repeating = 0

    def notice_answer(self, request: JudgeRequest) -> None:
        """Start the controls that are due when a judge is asked about an answer of the agent."""
        self._cases.add(request)
        self._answers += 1
        if self._judge.is_local:
            return
        if self._answers == 1:
            self._next_at = self._draw.randint(2, BLOCK)
            for known in (*(self._take_bad() for _ in range(FIRST)), *self._good[1:]):
                self._launch(known)
        elif self._answers == self._next_at:
            self._launch(self._take_bad())
            block = BLOCK if len(self._queue) > 1 else 2 * BLOCK
            start_of_next = -(-self._answers // block) * block
            self._next_at = start_of_next + self._draw.randint(1, block)

    def notice_vote(self, request: JudgeRequest, vote: JudgeVote) -> None:
        """Look at a new vote on an answer: whether another model gave it, and whether it is suspicious.

        It is if it fails an answer that repeats its reference. A judge that fails many of them is asked
        more good controls.
        """
        self._notice_model(vote)
        rubric = replace(self._rubric, criteria=self._rubric.judged_criteria)
        is_shown = request.criteria == rubric.criteria and repeats_reference(request)
        if vote.state == "scored" and is_shown:
            verdicts = combine_votes(rubric.criteria, [vote])
            self._repeating += 1
            self._failed_repeating += not score_verdicts(rubric, verdicts).passed

    async def settle(self) -> None:
        """Wait for the controls that have been asked."""
        while self._tasks:
            started, self._tasks = self._tasks, []
            await asyncio.gather(*started)

    def cancel(self) -> None:
        """Stop every request in progress."""
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> tuple[ControlResult, ...]:
        """Ask the last controls and those that were lost, and decide; return the results of all controls.

        Controls that the judge got wrong have `held` False if it cannot be trusted.
        """
        if self._finished_at != self._answers:
            self._finished_at = self._answers
            for known in self._list_last():
                self._launch(known)
            self._queue = []
            await self.settle()
            await self._ask_lost_again()
            if not self._judge.is_local:
                for should_pass in (False, True):
                    await self._ask_until_decided(should_pass=should_pass)
        await self.settle()
        order = [known.control.name for known in list_controls(self._rubric)]
        results = self._tally.list_results()
        # Those of every run come first, in an order that is the same in every run.
        place = {name: number for number, name in enumerate(order)}
        return tuple(sorted(results, key=lambda each: place.get(each.control, len(order))))

    def _list_last(self) -> Iterator[KnownAnswer]:
        """Yield what is left of the planned bad controls, at least one, and the last good one."""
        yield from (known or self._draw_case_bad() for known in self._queue or [None])
        # A built-in good answer says less than one about a case of the run.
        is_built_in = not self._rubric.controls and not self._judge.is_local
        yield (self._cases.draw_good() if is_built_in else None) or self._good[0]
        if not self._answers or self._judge.is_local:
            yield from self._good[1:]

    def _launch(self, known: KnownAnswer) -> None:
        self._tasks.append(asyncio.ensure_future(self._ask(known)))

    async def _ask(self, known: KnownAnswer) -> None:
        """Ask a control; if the answer is wrong, ask it once more."""
        after = self._answers
        held = await self._ask_once(known, after)
        # What may be right after all is no more wrong for being said twice.
        is_repeated = known.is_sure and not self._judge.is_local and not self._judge.down_reason
        if held is False and is_repeated:
            await self._ask_once(known, after)

    async def _ask_once(self, known: KnownAnswer, after: int) -> bool | None:
        vote = await self._votes.ask(self._judge, known.request)
        self._notice_model(vote)
        result = replace(known.check(self._metric, vote), after=after)
        self._tally.add(result, name_model(vote), is_sure=known.is_sure)
        return result.held

    async def _ask_lost_again(self) -> None:
        """Ask the controls without a verdict again: a lost call says nothing about a judge."""
        if self._judge.down_reason:
            return
        lost = self._tally.take_lost()
        known = [
            each for each in (*self._good, *self._bad, *self._further) if each.control.name in lost
        ]
        # Another control takes the place of one about a case.
        known += (self._draw_case_bad() for _ in range(len(lost) - len(known)))
        for each in known:
            self._launch(each)
        await self.settle()

    async def _ask_until_decided(self, *, should_pass: bool) -> None:
        """Ask further controls of one kind until they show whether the judge can be trusted."""
        draw = self._draw_good if should_pass else self._draw_bad
        while not self._judge.down_reason:
            asked, wrong = self._tally.count(should_pass=should_pass)
            finding = self._tally.decide(should_pass=should_pass)
            needed = 0 if finding == "wrong" else count_needed(asked, wrong)
            if finding == "trusted":
                is_doubtful = should_pass and is_suspicious(self._repeating, self._failed_repeating)
                needed = PLANNED - asked if is_doubtful else 0
            for _ in range(max(0, min(needed, BATCH))):
                self._launch(draw())
            await self.settle()
            if self._tally.count(should_pass=should_pass)[0] == asked:
                return  # none is needed, or all were lost

    def _take_bad(self) -> KnownAnswer:
        """Return the next planned bad control, but the last one; else any."""
        if len(self._queue) <= 1:
            return self._draw_bad()
        return self._queue.pop(0) or self._draw_case_bad()

    def _draw_bad(self) -> KnownAnswer:
        """Return any bad control, every second time one about a case of the run."""
        listed = self._draw.choice((*self._bad, *self._further))
        return self._draw_case_bad() if self._draw.random() < CASE_SHARE else listed

    def _draw_case_bad(self) -> KnownAnswer:
        """Return a bad control about a case of the run; a built-in one if that is not possible."""
        known = self._cases.draw_bad() or self._draw.choice(self._further)
        # A further control says more than the same one again, where there is another.
        for _ in range(REDRAWS):
            if known.control.name not in self._drawn:
                break
            known = self._cases.draw_bad() or self._draw.choice(self._further)
        self._drawn.add(known.control.name)
        return known

    def _draw_good(self) -> KnownAnswer:
        return self._cases.draw_good() or self._draw.choice(self._good)

    def _notice_model(self, vote: JudgeVote) -> None:
        """Ask controls when another model answers: a router may have replaced the judge."""
        model = name_model(vote)
        if not model or vote.is_cached or model in self._models:
            return
        self._models.append(model)
        if 1 < len(self._models) <= 1 + MAX_DRIFTS:
            for known in (*(self._take_bad() for _ in range(DRIFT_CONTROLS)), self._draw_good()):
                self._launch(known)


def name_model(vote: JudgeVote | Judgement) -> str:
    """Return the model and the version that an endpoint named in its reply."""
    return f"{vote.model} {vote.fingerprint}".strip()
