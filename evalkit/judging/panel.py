"""The judges of a run: who serves, what they said before, and whether their verdicts can be trusted.

The first judge answers until it is down for good; then the next one does, and says so. A verdict that was
kept is not asked for again. Known answers are judged along with the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from evalkit.cache import Cache
from evalkit.digest import digest
from evalkit.judgement import (
    AnchorResult,
    ControlResult,
    Exchange,
    Judgement,
    Reading,
    Trust,
)
from evalkit.judging.controls import controls_of, weigh_control
from evalkit.judging.judge import Judge
from evalkit.judging.labelled import Labelled, weigh_anchors
from evalkit.judging.question import Question
from evalkit.records import Problem
from evalkit.rubric import Rubric


class Panel:
    """Judges in the order in which they serve.

    `clean` takes the environment's secrets out of what judges write. With `controls` off no known
    answers are judged, for those who want to know something else of a judge.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        cache: Cache[Reading],
        clean: Callable[[str], str],
        *,
        controls: bool = True,
    ) -> None:
        self._judges = tuple(judges)
        self._cache = cache
        self._clean = clean
        self._wants_controls = controls
        self._rubrics: dict[str, Rubric] = {}
        self._anchors: dict[str, tuple[Labelled, ...]] = {}
        # By metric and the judge's place: two judges may have one name.
        self._used: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._controls: dict[tuple[str, int], asyncio.Task[tuple[ControlResult, ...]]] = {}
        self._anchored: dict[tuple[str, int], asyncio.Task[AnchorResult]] = {}
        self._asked: dict[str, asyncio.Task[Reading]] = {}
        self._readings: list[Reading] = []
        self._served: set[int] = set()

    @property
    def has_judge(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._judges)

    @property
    def serving(self) -> Judge:
        """Who is asked next; the last one when all are down."""
        return next((judge for judge in self._judges if not judge.down), self._judges[-1])

    @property
    def halted(self) -> str:
        """Why nobody judges any more; empty while somebody does."""
        return self.serving.down if self._judges else ""

    @property
    def refused(self) -> Problem | None:
        """What the user has to mend before anybody judges, when that is why nobody does."""
        return self.serving.refused if self.halted else None

    def enlist(self, metric: str, rubric: Rubric, anchors: Sequence[Labelled] = ()) -> None:
        """Have a rubric's controls and anchors judged with what it will be asked for."""
        if self._wants_controls and rubric.judged:
            self._rubrics[metric] = rubric
            self._anchors[metric] = tuple(each for each in anchors if each.floor is None)

    def count_controls(self) -> int:
        """How many known answers there are to be judged."""
        return sum(len(self._known_questions(metric)) for metric in self._rubrics)

    def _known_questions(self, metric: str) -> tuple[Question, ...]:
        controls = (question for _, question in controls_of(self._rubrics[metric]))
        return (*controls, *(anchor.question for anchor in self._anchors[metric]))

    async def warm_up(self) -> None:
        """Load what the first judge takes to answer, and ask nobody yet."""
        if self._rubrics:
            await self.serving.start()

    async def start(self) -> None:
        """Get ready while the agents work on their first answers.

        Controls whose verdicts are kept wait until something new is judged: a run of which every
        answer was judged before asks nobody.
        """
        await self.warm_up()
        for metric in self._rubrics:
            judge = self.serving
            kept = not judge.is_local and all(
                self._find(judge, question) for question in self._known_questions(metric)
            )
            if not kept:
                self._begin_controls(metric, judge, live=True)

    async def judge(self, metric: str, question: Question) -> tuple[Reading, ...]:
        """Every vote on an answer, all by one judge."""
        for judge in self._judges:
            if judge.down:
                continue
            votes = (replace(question, vote=vote) for vote in range(judge.votes))
            readings = await asyncio.gather(*(self._vote(metric, judge, vote) for vote in votes))
            if not _is_lost_to(judge, readings):
                return tuple(readings)
        return (_lost(self.serving),)

    async def finish(self, stored: Iterable[Judgement] = ()) -> Trust:
        """Wait for the controls, and sum up what was seen of the judges.

        Who gave the `stored` judgements, before a run was resumed, is checked like those who judge now.
        """
        given = {each.digest: each for each in stored if each.digest}
        served = {
            place
            for place, judge in enumerate(self._judges)
            if place in self._served or judge.digest in given
        }
        lasting = {place for place, judge in enumerate(self._judges) if not judge.down}
        for place in sorted(served & lasting):
            for metric in self._rubrics:
                self._begin_controls(metric, self._judges[place], live=False)
        judged = await asyncio.gather(*self._controls.values())
        self._forget_untrusted(judged)
        anchored = await asyncio.gather(*self._anchored.values())
        costs = [reading.cost_usd for reading in self._readings if reading.cost_usd is not None]
        lasting = {place for place, judge in enumerate(self._judges) if not judge.down}
        seen: tuple[Reading | Judgement, ...] = (*self._readings, *given.values())
        return Trust(
            judges=tuple(dict.fromkeys(each.judge for each in seen)),
            models=tuple(sorted({_model_of(each) for each in seen if each.model})),
            controls=tuple(
                result
                for (_, place), results in zip(self._controls, judged, strict=True)
                for result in results
                # What a judge got wrong counts, though it be down by now: its verdicts do, too.
                if place in lasting or result.held is False
            ),
            anchors=tuple(
                result
                for (_, place), result in zip(self._anchored, anchored, strict=True)
                if self._judges[place] is self.serving
            ),
            calls=sum(reading.calls for reading in self._readings),
            cost_usd=sum(costs) if costs else None,
            warnings=tuple(self._cache.warnings.values()),
        )

    def _forget_untrusted(self, judged: Sequence[tuple[ControlResult, ...]]) -> None:
        """Keep no verdict of a judge that got a control wrong: once it judges right, all are asked anew."""
        for of_whom, results in zip(self._controls, judged, strict=True):
            if any(result.held is False for result in results):
                for key in self._used[of_whom]:
                    self._cache.forget(key)

    def cancel(self) -> None:
        """Drop what is still being asked."""
        for task in (*self._controls.values(), *self._anchored.values(), *self._asked.values()):
            task.cancel()

    def _begin_controls(self, metric: str, judge: Judge, *, live: bool) -> None:
        rubric = self._rubrics.get(metric)
        key = (metric, self._place(judge))
        if rubric is not None and key not in self._controls:
            task = asyncio.ensure_future(self._judge_controls(metric, rubric, judge, live=live))
            self._controls[key] = task
            if self._anchors[metric]:
                anchoring = self._judge_anchors(metric, rubric, judge, live=live)
                self._anchored[key] = asyncio.ensure_future(anchoring)

    def _place(self, judge: Judge) -> int:
        return next(place for place, each in enumerate(self._judges) if each is judge)

    async def _judge_controls(
        self, metric: str, rubric: Rubric, judge: Judge, *, live: bool
    ) -> tuple[ControlResult, ...]:
        controls = controls_of(rubric)
        self._used[metric, self._place(judge)].update(
            _key(judge, question) for _, question in controls
        )
        readings = await asyncio.gather(
            *(self._read(judge, question, live=live) for _, question in controls)
        )
        return tuple(
            weigh_control(metric, rubric, control, [reading])
            for (control, _), reading in zip(controls, readings, strict=True)
        )

    async def _judge_anchors(
        self, metric: str, rubric: Rubric, judge: Judge, *, live: bool
    ) -> AnchorResult:
        anchors = self._anchors[metric]
        readings = await asyncio.gather(
            *(self._read(judge, anchor.question, live=live) for anchor in anchors)
        )
        return weigh_anchors(metric, rubric, anchors, readings)

    async def _vote(self, metric: str, judge: Judge, question: Question) -> Reading:
        if not judge.is_local:
            self._used[metric, self._place(judge)].add(_key(judge, question))
            kept = self._find(judge, question)
            if kept is not None:
                self._note(judge, kept)
                return kept
        self._begin_controls(metric, judge, live=True)
        return await self._read(judge, question, live=True)

    async def _read(self, judge: Judge, question: Question, *, live: bool) -> Reading:
        """A judge's vote; equal questions that are asked at the same time are one call."""
        if judge.is_local:
            return self._note(judge, await judge.read(question))
        key = _key(judge, question)
        kept = None if live else self._find(judge, question)
        if kept is not None:
            return kept
        asking = self._asked.get(key)
        if asking is not None:
            shared = await asyncio.shield(asking)
            return _as_kept(shared)
        asking = asyncio.ensure_future(self._ask(judge, question, key))
        self._asked[key] = asking
        return await asyncio.shield(asking)

    async def _ask(self, judge: Judge, question: Question, key: str) -> Reading:
        reading = self._note(judge, self._without_secrets(await judge.read(question)))
        if reading.state == "scored":
            self._cache.keep(key, reading)
        else:
            # Another answer may be had for the same question later.
            self._asked.pop(key, None)
        return reading

    def _find(self, judge: Judge, question: Question) -> Reading | None:
        kept = self._cache.find(_key(judge, question))
        return None if kept is None else _as_kept(kept)

    def _note(self, judge: Judge, reading: Reading) -> Reading:
        self._served.add(self._place(judge))
        self._readings.append(replace(reading, exchanges=(), verdicts=()))
        return reading

    def _without_secrets(self, reading: Reading) -> Reading:
        clean = self._clean
        return replace(
            reading,
            problem=clean(reading.problem),
            verdicts=tuple(
                replace(
                    verdict,
                    evidence=clean(verdict.evidence),
                    explanation=clean(verdict.explanation),
                )
                for verdict in reading.verdicts
            ),
            exchanges=tuple(
                Exchange(
                    asked=clean(exchange.asked),
                    answered=clean(exchange.answered),
                    problem=clean(exchange.problem),
                )
                for exchange in reading.exchanges
            ),
        )


def _is_lost_to(judge: Judge, readings: Sequence[Reading]) -> bool:
    """Whether a vote is missing because its judge is down, so that another has to judge."""
    return bool(judge.down) and any(reading.state == "judge_error" for reading in readings)


def _key(judge: Judge, question: Question) -> str:
    return digest([judge.digest, question.digest])


def _as_kept(reading: Reading) -> Reading:
    """A reading that this time took no call."""
    return replace(reading, calls=0, input_tokens=0, output_tokens=0, cost_usd=None, is_cached=True)


def _model_of(said: Reading | Judgement) -> str:
    return f"{said.model} {said.fingerprint}".strip()


def _lost(judge: Judge) -> Reading:
    return Reading(
        state="judge_error",
        kind="judge_down",
        problem=f"no judge answers any more: {judge.down}",
        judge=judge.name,
        digest=judge.digest,
    )
