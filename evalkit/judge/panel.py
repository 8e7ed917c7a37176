"""The judges of a run: the first one is asked; if it goes down, the next one takes over.

Votes are cached. Every judge is checked with controls and anchors, answers whose verdicts are known,
which are judged together with the agent's answers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from evalkit.core.judgement import AnchorResult, ControlResult, Judgement, JudgeTrust, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.judge.anchors import LabeledAnswer, check_anchors
from evalkit.judge.controls import check_control, list_controls
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.judge.votes import VoteSource, vote_key
from evalkit.store.cache import Cache


@dataclass(frozen=True, kw_only=True, slots=True)
class _CheckResults:
    """The results of one judge on the controls and anchors of one rubric."""

    controls: tuple[ControlResult, ...]
    anchors: AnchorResult | None


class Panel:
    """Judges in the order in which they are asked.

    `redact` removes the environment's secrets from what judges write. With `controls` off, neither
    controls nor anchors are judged.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        cache: Cache[JudgeVote],
        redact: Callable[[str], str],
        *,
        controls: bool = True,
    ) -> None:
        self._judges = tuple(judges)
        self._votes = VoteSource(cache, redact)
        self._wants_controls = controls
        self._rubrics: dict[str, Rubric] = {}
        self._anchors: dict[str, tuple[LabeledAnswer, ...]] = {}
        # By metric and position of the judge, because two judges may have one name.
        self._used_keys: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._checks: dict[tuple[str, int], asyncio.Task[_CheckResults]] = {}

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

    def count_controls(self) -> int:
        """Return how many controls and anchors there are to judge."""
        return sum(len(self._list_check_requests(metric)) for metric in self._rubrics)

    def _list_check_requests(self, metric: str) -> tuple[JudgeRequest, ...]:
        controls = (request for _, request in list_controls(self._rubrics[metric]))
        return (*controls, *(anchor.request for anchor in self._anchors[metric]))

    async def warm_up(self) -> None:
        """Load everything that the first judge needs to answer, without asking it."""
        if self._rubrics:
            await self.active_judge.start()

    async def start(self) -> None:
        """Get ready while the agents work on their first answers.

        Controls with cached votes are judged only when an answer needs a new vote, so that a run whose
        answers all have cached votes makes no call. Those of a pairwise metric wait for the first pair,
        because a run may have none.
        """
        await self.warm_up()
        for metric, rubric in self._rubrics.items():
            if rubric.is_pairwise:
                continue
            judge = self.active_judge
            is_cached = not judge.is_local and all(
                self._votes.find_cached(judge, request)
                for request in self._list_check_requests(metric)
            )
            if not is_cached:
                self._start_check(metric, self._active_position, fresh=True)

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
        self._start_check(metric, position, fresh=True)
        return await self._votes.get(judge, request, fresh=True)

    async def settle_checks(self) -> None:
        """Wait for the checks so far if another judge can take over from one that goes down meanwhile."""
        if len(self._judges) > 1:
            await asyncio.gather(*self._checks.values())

    async def finish(self, stored: Iterable[Judgement] = ()) -> JudgeTrust:
        """Wait for controls and anchors, and return the evidence of how far the judges can be trusted.

        `stored` are the judgments of the run, also those from before it was resumed; their judges are
        checked too.
        """
        # Judgments that needed no judge (by checks, or of empty answers) have no digest.
        judged = [each for each in stored if each.digest]
        given = {each.digest: each for each in judged}
        compared = any(each.pair is not None for each in judged)
        for position, judge in enumerate(self._judges):
            has_judged = self._votes.has_served(judge) or judge.digest in given
            if has_judged and not judge.down_reason:
                for metric, rubric in self._rubrics.items():
                    if compared or not rubric.is_pairwise:
                        self._start_check(metric, position, fresh=False)
        checked = dict(zip(self._checks, await asyncio.gather(*self._checks.values()), strict=True))
        checked = {key: await self._judge_lost_again(key, found) for key, found in checked.items()}
        votes = self._votes.recorded
        self._forget_untrusted(checked)
        costs = [vote.cost_usd for vote in votes if vote.cost_usd is not None]
        sources: tuple[JudgeVote | Judgement, ...] = (*votes, *given.values())
        return JudgeTrust(
            judges=tuple(dict.fromkeys(each.judge for each in sources)),
            models=tuple(sorted({_model_id(each) for each in sources if each.model})),
            controls=tuple(
                result
                for (_, position), results in checked.items()
                for result in results.controls
                # A judge that is down now must still pass its controls if its verdicts count. A control
                # that it got wrong always counts.
                if result.held is False
                or not self._judges[position].down_reason
                or self._judges[position].digest in given
            ),
            anchors=tuple(
                results.anchors
                for (_, position), results in checked.items()
                if results.anchors and self._judges[position] is self.active_judge
            ),
            calls=sum(vote.calls for vote in votes),
            input_tokens=sum(vote.input_tokens for vote in votes),
            output_tokens=sum(vote.output_tokens for vote in votes),
            cached_tokens=sum(vote.cached_tokens for vote in votes),
            cost_usd=sum(costs) if costs else None,
            warnings=tuple(self._votes.cache.warnings.values()),
        )

    async def _judge_lost_again(self, key: tuple[str, int], found: _CheckResults) -> _CheckResults:
        """Judge the controls again that could not be judged: a lost call says nothing about a judge."""
        metric, position = key
        judge = self._judges[position]
        lost = {result.control for result in found.controls if result.held is None}
        if not lost or judge.down_reason:
            return found
        rubric = self._rubrics[metric]
        listed = [each for each in list_controls(rubric) if each[0].name in lost]
        votes = await asyncio.gather(
            *(self._votes.get(judge, request, fresh=False) for _, request in listed)
        )
        again = {
            control.name: check_control(metric, rubric, control, vote)
            for (control, _), vote in zip(listed, votes, strict=True)
        }
        controls = tuple(again.get(result.control, result) for result in found.controls)
        return replace(found, controls=controls)

    def _forget_untrusted(self, checked: dict[tuple[str, int], _CheckResults]) -> None:
        """Delete the cached votes of a judge that got a control wrong, so that it is asked again."""
        for key, results in checked.items():
            if any(result.held is False for result in results.controls):
                for used in self._used_keys[key]:
                    self._votes.cache.delete(used)

    def stop(self) -> None:
        """Have no judge start another call; requests in flight may finish."""
        for judge in self._judges:
            judge.stop()

    def cancel(self) -> None:
        """Stop every request in progress."""
        for task in self._checks.values():
            task.cancel()
        self._votes.cancel()

    def _start_check(self, metric: str, position: int, *, fresh: bool) -> None:
        if metric in self._rubrics and (metric, position) not in self._checks:
            check = self._check_judge(metric, position, fresh=fresh)
            self._checks[metric, position] = asyncio.ensure_future(check)

    async def _check_judge(self, metric: str, position: int, *, fresh: bool) -> _CheckResults:
        rubric, judge, anchors = (
            self._rubrics[metric],
            self._judges[position],
            self._anchors[metric],
        )
        controls = list_controls(rubric)
        self._used_keys[metric, position].update(
            vote_key(judge, request) for _, request in controls
        )
        votes = await asyncio.gather(
            *(
                self._votes.get(judge, request, fresh=fresh)
                for request in self._list_check_requests(metric)
            )
        )
        anchor_votes = votes[len(controls) :]
        return _CheckResults(
            controls=tuple(
                check_control(metric, rubric, control, vote)
                for (control, _), vote in zip(controls, votes, strict=False)
            ),
            anchors=check_anchors(metric, rubric, anchors, anchor_votes) if anchors else None,
        )


def _is_lost_to_down_judge(judge: Judge, votes: Sequence[JudgeVote]) -> bool:
    """Return whether a vote is missing because the judge went down, so that the next judge is asked."""
    return bool(judge.down_reason) and any(vote.state == "judge_error" for vote in votes)


def _model_id(source: JudgeVote | Judgement) -> str:
    return f"{source.model} {source.fingerprint}".strip()


def _build_judge_down_vote(judge: Judge) -> JudgeVote:
    return JudgeVote(
        state="judge_error",
        kind="judge_down",
        problem=f"no judge answers any more: {judge.down_reason}",
        judge=judge.name,
        digest=judge.digest,
    )
