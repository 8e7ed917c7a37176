"""The judges of a run: who serves, what they said before, and whether their verdicts can be trusted.

The first judge answers until it is down for good; then the next one does, and says so. A verdict that was
kept is not asked for again. Known answers are judged along with the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from evalkit.core.judgement import (
    AnchorResult,
    ControlResult,
    JudgeExchange,
    Judgement,
    JudgeTrust,
    JudgeVote,
)
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.core.serialization import digest
from evalkit.judge.anchors import LabelledAnswer, check_anchors
from evalkit.judge.controls import check_control, list_controls
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.store.cache import Cache


class Panel:
    """Judges in the order in which they serve.

    `clean` takes the environment's secrets out of what judges write. With `controls` off no known
    answers are judged, for those who want to know something else of a judge.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        cache: Cache[JudgeVote],
        clean: Callable[[str], str],
        *,
        controls: bool = True,
    ) -> None:
        self._judges = tuple(judges)
        self._cache = cache
        self._redact = clean
        self._wants_controls = controls
        self._rubrics: dict[str, Rubric] = {}
        self._anchors: dict[str, tuple[LabelledAnswer, ...]] = {}
        # By metric and the judge's place: two judges may have one name.
        self._used_keys: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._control_tasks: dict[tuple[str, int], asyncio.Task[tuple[ControlResult, ...]]] = {}
        self._anchor_tasks: dict[tuple[str, int], asyncio.Task[AnchorResult]] = {}
        self._pending: dict[str, asyncio.Task[JudgeVote]] = {}
        self._readings: list[JudgeVote] = []
        self._served_judges: set[int] = set()

    @property
    def has_judge(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._judges)

    @property
    def active_judge(self) -> Judge:
        """Who is asked next; the last one when all are down."""
        return next((judge for judge in self._judges if not judge.down_reason), self._judges[-1])

    @property
    def down_reason(self) -> str:
        """Why nobody judges any more; empty while somebody does."""
        return self.active_judge.down_reason if self._judges else ""

    @property
    def problem_to_fix(self) -> Problem | None:
        """What the user has to mend before anybody judges, when that is why nobody does."""
        return self.active_judge.problem_to_fix if self.down_reason else None

    def register_rubric(
        self, metric: str, rubric: Rubric, anchors: Sequence[LabelledAnswer] = ()
    ) -> None:
        """Have a rubric's controls and anchors judged with what it will be asked for."""
        if self._wants_controls and rubric.judged_criteria:
            self._rubrics[metric] = rubric
            self._anchors[metric] = tuple(
                each for each in anchors if each.empty_answer_vote is None
            )

    def count_controls(self) -> int:
        """How many known answers there are to be judged."""
        return sum(len(self._list_control_requests(metric)) for metric in self._rubrics)

    def _list_control_requests(self, metric: str) -> tuple[JudgeRequest, ...]:
        controls = (question for _, question in list_controls(self._rubrics[metric]))
        return (*controls, *(anchor.question for anchor in self._anchors[metric]))

    async def warm_up(self) -> None:
        """Load what the first judge takes to answer, and ask nobody yet."""
        if self._rubrics:
            await self.active_judge.start()

    async def start(self) -> None:
        """Get ready while the agents work on their first answers.

        Controls whose verdicts are kept wait until something new is judged: a run of which every
        answer was judged before asks nobody.
        """
        await self.warm_up()
        for metric in self._rubrics:
            judge = self.active_judge
            kept = not judge.is_local and all(
                self._find_cached(judge, question)
                for question in self._list_control_requests(metric)
            )
            if not kept:
                self._start_controls(metric, judge, live=True)

    async def collect_votes(self, metric: str, question: JudgeRequest) -> tuple[JudgeVote, ...]:
        """Every vote on an answer, all by one judge."""
        for judge in self._judges:
            if judge.down_reason:
                continue
            votes = (replace(question, vote=vote) for vote in range(judge.votes))
            readings = await asyncio.gather(
                *(self._get_or_ask_vote(metric, judge, vote) for vote in votes)
            )
            if not _is_lost_to_down_judge(judge, readings):
                return tuple(readings)
        return (_build_judge_down_vote(self.active_judge),)

    async def finish(self, stored: Iterable[Judgement] = ()) -> JudgeTrust:
        """Wait for the controls, and sum up what was seen of the judges.

        Who gave the `stored` judgements, before a run was resumed, is checked like those who judge now.
        """
        given = {each.digest: each for each in stored if each.digest}
        served = {
            place
            for place, judge in enumerate(self._judges)
            if place in self._served_judges or judge.digest in given
        }
        lasting = {place for place, judge in enumerate(self._judges) if not judge.down_reason}
        for place in sorted(served & lasting):
            for metric in self._rubrics:
                self._start_controls(metric, self._judges[place], live=False)
        judged = await asyncio.gather(*self._control_tasks.values())
        self._forget_untrusted(judged)
        anchored = await asyncio.gather(*self._anchor_tasks.values())
        costs = [reading.cost_usd for reading in self._readings if reading.cost_usd is not None]
        lasting = {place for place, judge in enumerate(self._judges) if not judge.down_reason}
        seen: tuple[JudgeVote | Judgement, ...] = (*self._readings, *given.values())
        return JudgeTrust(
            judges=tuple(dict.fromkeys(each.judge for each in seen)),
            models=tuple(sorted({_model_id(each) for each in seen if each.model})),
            controls=tuple(
                result
                for (_, place), results in zip(self._control_tasks, judged, strict=True)
                for result in results
                # What a judge got wrong counts, though it be down by now: its verdicts do, too.
                if place in lasting or result.correct is False
            ),
            anchors=tuple(
                result
                for (_, place), result in zip(self._anchor_tasks, anchored, strict=True)
                if self._judges[place] is self.active_judge
            ),
            calls=sum(reading.calls for reading in self._readings),
            cost_usd=sum(costs) if costs else None,
            warnings=tuple(self._cache.warnings.values()),
        )

    def _forget_untrusted(self, judged: Sequence[tuple[ControlResult, ...]]) -> None:
        """Keep no verdict of a judge that got a control wrong: once it judges right, all are asked anew."""
        for of_whom, results in zip(self._control_tasks, judged, strict=True):
            if any(result.correct is False for result in results):
                for key in self._used_keys[of_whom]:
                    self._cache.delete(key)

    def cancel(self) -> None:
        """Drop what is still being asked."""
        for task in (
            *self._control_tasks.values(),
            *self._anchor_tasks.values(),
            *self._pending.values(),
        ):
            task.cancel()

    def _start_controls(self, metric: str, judge: Judge, *, live: bool) -> None:
        rubric = self._rubrics.get(metric)
        key = (metric, self._index_of(judge))
        if rubric is not None and key not in self._control_tasks:
            task = asyncio.ensure_future(self._judge_controls(metric, rubric, judge, live=live))
            self._control_tasks[key] = task
            if self._anchors[metric]:
                anchoring = self._judge_anchors(metric, rubric, judge, live=live)
                self._anchor_tasks[key] = asyncio.ensure_future(anchoring)

    def _index_of(self, judge: Judge) -> int:
        return next(place for place, each in enumerate(self._judges) if each is judge)

    async def _judge_controls(
        self, metric: str, rubric: Rubric, judge: Judge, *, live: bool
    ) -> tuple[ControlResult, ...]:
        controls = list_controls(rubric)
        self._used_keys[metric, self._index_of(judge)].update(
            _cache_key(judge, question) for _, question in controls
        )
        readings = await asyncio.gather(
            *(self._get_vote(judge, question, live=live) for _, question in controls)
        )
        return tuple(
            check_control(metric, rubric, control, [reading])
            for (control, _), reading in zip(controls, readings, strict=True)
        )

    async def _judge_anchors(
        self, metric: str, rubric: Rubric, judge: Judge, *, live: bool
    ) -> AnchorResult:
        anchors = self._anchors[metric]
        readings = await asyncio.gather(
            *(self._get_vote(judge, anchor.question, live=live) for anchor in anchors)
        )
        return check_anchors(metric, rubric, anchors, readings)

    async def _get_or_ask_vote(
        self, metric: str, judge: Judge, question: JudgeRequest
    ) -> JudgeVote:
        if not judge.is_local:
            self._used_keys[metric, self._index_of(judge)].add(_cache_key(judge, question))
            kept = self._find_cached(judge, question)
            if kept is not None:
                self._record_vote(judge, kept)
                return kept
        self._start_controls(metric, judge, live=True)
        return await self._get_vote(judge, question, live=True)

    async def _get_vote(self, judge: Judge, question: JudgeRequest, *, live: bool) -> JudgeVote:
        """A judge's vote; equal questions that are asked at the same time are one call."""
        if judge.is_local:
            return self._record_vote(judge, await judge.grade(question))
        key = _cache_key(judge, question)
        kept = None if live else self._find_cached(judge, question)
        if kept is not None:
            return kept
        asking = self._pending.get(key)
        if asking is not None:
            shared = await asyncio.shield(asking)
            return _as_cached(shared)
        asking = asyncio.ensure_future(self._ask(judge, question, key))
        self._pending[key] = asking
        return await asyncio.shield(asking)

    async def _ask(self, judge: Judge, question: JudgeRequest, key: str) -> JudgeVote:
        reading = self._record_vote(judge, self._without_secrets(await judge.grade(question)))
        if reading.state == "scored":
            self._cache.put(key, reading)
        else:
            # Another answer may be had for the same question later.
            self._pending.pop(key, None)
        return reading

    def _find_cached(self, judge: Judge, question: JudgeRequest) -> JudgeVote | None:
        kept = self._cache.get(_cache_key(judge, question))
        return None if kept is None else _as_cached(kept)

    def _record_vote(self, judge: Judge, reading: JudgeVote) -> JudgeVote:
        self._served_judges.add(self._index_of(judge))
        self._readings.append(replace(reading, exchanges=(), verdicts=()))
        return reading

    def _without_secrets(self, reading: JudgeVote) -> JudgeVote:
        clean = self._redact
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
                JudgeExchange(
                    asked=clean(exchange.asked),
                    answered=clean(exchange.answered),
                    problem=clean(exchange.problem),
                )
                for exchange in reading.exchanges
            ),
        )


def _is_lost_to_down_judge(judge: Judge, readings: Sequence[JudgeVote]) -> bool:
    """Whether a vote is missing because its judge is down, so that another has to judge."""
    return bool(judge.down_reason) and any(reading.state == "judge_error" for reading in readings)


def _cache_key(judge: Judge, question: JudgeRequest) -> str:
    return digest([judge.digest, question.digest])


def _as_cached(reading: JudgeVote) -> JudgeVote:
    """A reading that this time took no call."""
    return replace(reading, calls=0, input_tokens=0, output_tokens=0, cost_usd=None, is_cached=True)


def _model_id(said: JudgeVote | Judgement) -> str:
    return f"{said.model} {said.fingerprint}".strip()


def _build_judge_down_vote(judge: Judge) -> JudgeVote:
    return JudgeVote(
        state="judge_error",
        kind="judge_down",
        problem=f"no judge answers any more: {judge.down_reason}",
        judge=judge.name,
        digest=judge.digest,
    )
