"""The judges of a run: the first one is asked; if it goes down, the next one takes over.

Votes are cached. A judge that is asked for any new vote is checked with controls and anchors, answers
whose verdicts are known, which are judged together with the agent's answers.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from evalkit.core.judgement import AnchorResult, ControlResult, Judgement, JudgeTrust, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.core.serialization import digest
from evalkit.judge.anchors import LabeledAnswer, check_anchors
from evalkit.judge.control_watch import ControlBound, ControlWatch, bound_controls, name_model
from evalkit.judge.controls import list_controls
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.judge.votes import VoteSource, vote_key
from evalkit.store.cache import Cache


class Panel:
    """Judges in the order in which they are asked.

    `redact` removes the environment's secrets from what judges write. With `controls` off, neither
    controls nor anchors are judged. `draw` chooses the order and the positions of the controls, which a
    judge must not be able to predict.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        cache: Cache[JudgeVote],
        redact: Callable[[str], str],
        *,
        controls: bool = True,
        draw: random.Random | None = None,
    ) -> None:
        self._judges = tuple(judges)
        self._votes = VoteSource(cache, redact)
        self._wants_controls = controls
        self._rubrics: dict[str, Rubric] = {}
        self._anchors: dict[str, tuple[LabeledAnswer, ...]] = {}
        # By metric and position of the judge, because two judges may have one name.
        self._used_keys: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._draw = draw or random.SystemRandom()
        self._watches: dict[tuple[str, int], ControlWatch] = {}
        self._anchor_checks: dict[tuple[str, int], asyncio.Task[AnchorResult]] = {}

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The judges in the order in which they are asked."""
        return self._judges

    @property
    def has_judge(self) -> bool:
        """Whether the panel has any judge."""
        return bool(self._judges)

    @property
    def active_judge(self) -> Judge:
        """The judge that is asked next; the last one when all are down."""
        return self._judges[self._active_position]

    @property
    def _active_position(self) -> int:
        up = (position for position, judge in enumerate(self._judges) if not judge.down_reason)
        return next(up, len(self._judges) - 1)

    @property
    def down_reason(self) -> str:
        """Why no judge answers any more; empty while one does."""
        return self.active_judge.down_reason if self._judges else ""

    @property
    def problem_to_fix(self) -> Problem | None:
        """The problem that the user must fix before a judge answers, if that is why none does."""
        return self.active_judge.problem_to_fix if self.down_reason else None

    def register_rubric(
        self, metric: str, rubric: Rubric, anchors: Sequence[LabeledAnswer] = ()
    ) -> None:
        """Judge a rubric's controls and anchors together with the agent's answers."""
        if self._wants_controls and rubric.judged_criteria:
            self._rubrics[metric] = rubric
            self._anchors[metric] = tuple(
                each for each in anchors if each.empty_answer_vote is None
            )

    def bound_controls(self, answers: Mapping[str, int]) -> ControlBound:
        """Return how often a judge is asked controls and anchors.

        `answers` are the new votes on answers by metric; a metric without one needs no controls.
        """
        found = [
            bound_controls(rubric, answers[metric], len(self._anchors[metric]))
            for metric, rubric in self._rubrics.items()
            if answers.get(metric)
        ]
        return ControlBound(
            expected=sum(each.expected for each in found),
            at_most=sum(each.at_most for each in found),
        )

    async def warm_up(self) -> None:
        """Load everything that the first judge needs to answer, without asking it."""
        if self._rubrics:
            await self.active_judge.start()

    async def collect_votes(self, metric: str, request: JudgeRequest) -> tuple[JudgeVote, ...]:
        """Return every vote on an answer, all by one judge."""
        for position, judge in enumerate(self._judges):
            if judge.down_reason:
                continue
            requests = (replace(request, vote=vote) for vote in range(judge.votes))
            votes = await asyncio.gather(
                *(self._get_vote(metric, position, each) for each in requests)
            )
            if not _is_lost_to_down_judge(judge, votes):
                return tuple(votes)
        # Every judge is down.
        return (_build_judge_down_vote(self.active_judge),)

    async def _get_vote(self, metric: str, position: int, request: JudgeRequest) -> JudgeVote:
        judge = self._judges[position]
        if not judge.is_local:
            self._used_keys[metric, position].add(vote_key(judge, request))
            cached = self._votes.find_cached(judge, request)
            if cached is not None:
                return self._votes.record(judge, cached)
        watch = self._watch(metric, position)
        if watch is None:
            return await self._votes.get(judge, request)
        watch.notice_answer(request)
        vote = await self._votes.get(judge, request)
        watch.notice_vote(request, vote)
        return vote

    def _watch(self, metric: str, position: int) -> ControlWatch | None:
        """Return what checks a judge under a rubric, from the first new vote on; None if nothing does."""
        rubric, judge = self._rubrics.get(metric), self._judges[position]
        if rubric is None:
            return None
        key = metric, position
        if key not in self._watches:
            self._watches[key] = ControlWatch(metric, judge, rubric, self._votes, self._draw)
            # Until this run trusts the judge: a run that is killed leaves verdicts that nobody checked.
            self._votes.cache.delete(_trust_key(rubric, judge))
            self._start_anchors(metric, position, fresh=True)
        return self._watches[key]

    def _start_anchors(self, metric: str, position: int, *, fresh: bool) -> None:
        if self._anchors[metric] and (metric, position) not in self._anchor_checks:
            check = self._judge_anchors(metric, self._judges[position], fresh=fresh)
            self._anchor_checks[metric, position] = asyncio.ensure_future(check)

    async def _judge_anchors(self, metric: str, judge: Judge, *, fresh: bool) -> AnchorResult:
        anchors, votes = self._anchors[metric], self._votes
        if fresh:
            for anchor in anchors:
                votes.cache.delete(vote_key(judge, anchor.request))
        found = await asyncio.gather(*(votes.get(judge, anchor.request) for anchor in anchors))
        return check_anchors(metric, self._rubrics[metric], anchors, found)

    async def settle_checks(self, stored: Iterable[Judgement]) -> None:
        """Check the judges to the end, if another one can take over from one that goes down meanwhile."""
        if len(self._judges) > 1:
            self._watch_judges([each for each in stored if each.digest])
            await asyncio.gather(*(watch.finish() for watch in self._watches.values()))
            await asyncio.gather(*self._anchor_checks.values())

    def _watch_judges(self, judgements: Sequence[Judgement]) -> None:
        """Check each judge of a judgment, unless all are from the cache and an earlier run trusted it."""
        given = {each.digest for each in judgements}
        fresh = {each.digest for each in judgements if not each.is_cached}
        for position, judge in enumerate(self._judges):
            has_judged = self._votes.has_served(judge) or judge.digest in given
            if has_judged and not judge.down_reason:
                for metric in self._rubrics:
                    if judge.digest in fresh or not self._was_trusted(metric, judge):
                        self._watch(metric, position)
                    self._start_anchors(metric, position, fresh=False)

    async def finish(self, stored: Iterable[Judgement] = ()) -> JudgeTrust:
        """Ask the last controls, and return the evidence of how far the judges can be trusted.

        `stored` are the judgments of the run, also those from before it was resumed; their judges are
        checked too.
        """
        # Judgments that needed no judge (by checks, or of empty answers) have no digest.
        judgements = [each for each in stored if each.digest]
        given = {each.digest for each in judgements}
        self._watch_judges(judgements)
        found = await asyncio.gather(*(watch.finish() for watch in self._watches.values()))
        controls = dict(zip(self._watches, found, strict=True))
        anchors = dict(
            zip(
                self._anchor_checks,
                await asyncio.gather(*self._anchor_checks.values()),
                strict=True,
            )
        )
        self._keep_trust(controls)
        votes = self._votes.recorded
        costs = [vote.cost_usd for vote in votes if vote.cost_usd is not None]
        sources: tuple[JudgeVote | Judgement, ...] = (*votes, *judgements)
        return JudgeTrust(
            judges=tuple(dict.fromkeys(each.judge for each in sources)),
            models=tuple(sorted({name_model(each) for each in sources if each.model})),
            changes=tuple(_find_changes(sources)),
            controls=tuple(
                result
                for (_, position), results in controls.items()
                for result in results
                # A judge that is down now must still pass its controls if its verdicts count. A control
                # that it got wrong always counts.
                if result.held is False
                or not self._judges[position].down_reason
                or self._judges[position].digest in given
            ),
            anchors=tuple(
                result
                for (_, position), result in anchors.items()
                if self._judges[position] is self.active_judge
            ),
            verdicts=len(judgements),
            cached_verdicts=sum(each.is_cached for each in judgements),
            calls=sum(vote.calls for vote in votes),
            input_tokens=sum(vote.input_tokens for vote in votes),
            output_tokens=sum(vote.output_tokens for vote in votes),
            cached_tokens=sum(vote.cached_tokens for vote in votes),
            cost_usd=sum(costs) if costs else None,
            warnings=tuple(self._votes.cache.warnings.values()),
        )

    def _was_trusted(self, metric: str, judge: Judge) -> bool:
        """Return whether an earlier run trusted a judge with the verdicts that it left in the cache."""
        if judge.is_local:
            return False
        return self._votes.cache.get(_trust_key(self._rubrics[metric], judge)) is not None

    def _keep_trust(self, controls: Mapping[tuple[str, int], tuple[ControlResult, ...]]) -> None:
        """Cache that judges are trusted; delete the votes of one that is not, so that it is asked again."""
        for (metric, position), results in controls.items():
            judge, cache = self._judges[position], self._votes.cache
            key = _trust_key(self._rubrics[metric], judge)
            if any(result.held is False for result in results):
                for used in (*self._used_keys[metric, position], key):
                    cache.delete(used)
            elif not judge.is_local and all(result.held for result in results):
                cache.put(key, JudgeVote(judge=judge.name, digest=judge.digest))

    def stop(self) -> None:
        """Have no judge start another call; requests in flight may finish."""
        for judge in self._judges:
            judge.stop()

    def cancel(self) -> None:
        """Stop every request in progress."""
        for watch in self._watches.values():
            watch.cancel()
        for task in self._anchor_checks.values():
            task.cancel()
        self._votes.cancel()


def _is_lost_to_down_judge(judge: Judge, votes: Sequence[JudgeVote]) -> bool:
    """Return whether a vote is missing because the judge went down, so that the next judge is asked."""
    return bool(judge.down_reason) and any(vote.state == "judge_error" for vote in votes)


def _trust_key(rubric: Rubric, judge: Judge) -> str:
    """Return the cache key of the note that a judge passed the controls of a rubric."""
    requests = [known.request.digest for known in list_controls(rubric)]
    return digest(["trusted", judge.digest, rubric.digest, requests])


def _find_changes(sources: Iterable[JudgeVote | Judgement]) -> Iterator[str]:
    """Yield the models of each judge whose new verdicts in this run are by several models."""
    models: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for each in sources:
        if each.model and not each.is_cached:
            models[each.judge, each.digest].setdefault(name_model(each))
    for (judge, _), found in models.items():
        if len(found) > 1:
            yield f"{judge} answered as {' and as '.join(sorted(found))}"


def _build_judge_down_vote(judge: Judge) -> JudgeVote:
    return JudgeVote(
        state="judge_error",
        kind="judge_down",
        problem=f"no judge answers any more: {judge.down_reason}",
        judge=judge.name,
        digest=judge.digest,
    )
