"""Ask one judge for verdicts on labeled answers, once with the cache and again with fresh calls."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.agents.variables import list_variables
from evalkit.core.errors import Interrupted, InvalidInput, Undecidable
from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeTrust, JudgeVote
from evalkit.core.redaction import Redactor
from evalkit.core.run import RunEnvironment
from evalkit.judge.anchors import LabeledAnswer
from evalkit.judge.judge import Judge
from evalkit.judge.panel import Panel
from evalkit.judge.registry import open_judges
from evalkit.judge.scoring import combine_votes
from evalkit.runner.signals import StopRequest
from evalkit.store.cache import Cache, NoCache, cache_folder

CONCURRENCY = 64
"""Maximum number of answers in progress. The judge has its own limit on calls."""

VerdictsByCriterion = Mapping[str, CriterionVerdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswers:
    """The verdicts of a judge, in the order of the answers; None means no verdict."""

    judge: str
    digest: str
    first: tuple[VerdictsByCriterion | None, ...]
    repeats: tuple[tuple[VerdictsByCriterion | None, ...], ...]
    missing: Mapping[str, int]
    trusts: tuple[JudgeTrust, ...]


async def judge_answers(
    spec: JudgeSpec,
    environment: RunEnvironment,
    answers: Sequence[LabeledAnswer],
    repeats: int,
    stop: StopRequest,
) -> JudgedAnswers:
    """Ask a judge for a verdict on every answer, then `repeats` more times with fresh calls.

    Raises:
        Interrupted: a stop was requested.
        InvalidInput: the judge cannot be called until the user fixes a problem.
        Undecidable: the judge stopped answering.
    """
    named = [variable.name for variable in list_variables(spec)]
    redact = Redactor(environment.environ, named).redact_text
    async with open_judges([spec], environment) as judges:
        (judge,) = judges
        stop.on_request(judge.stop)
        await judge.start()
        cached = Cache(cache_folder(environment.root, "verdicts"), JudgeVote)
        first, missing, trust = await _judge_all(judge, cached, redact, answers, stop)
        again, trusts = [], [trust]
        for _ in range(repeats):
            verdicts, _, trust = await _judge_all(judge, NoCache(JudgeVote), redact, answers, stop)
            again.append(verdicts)
            trusts.append(trust)
        if judge.problem_to_fix is not None:
            raise InvalidInput([judge.problem_to_fix])
        if judge.down_reason:
            raise Undecidable(
                f"the judge {judge.name} stopped answering ({judge.down_reason}). "
                f"Its verdicts are cached; try again later."
            )
        return JudgedAnswers(
            judge=judge.name,
            digest=judge.digest,
            first=first,
            repeats=tuple(again),
            missing=missing,
            trusts=tuple(trusts),
        )


async def _judge_all(
    judge: Judge,
    cache: Cache[JudgeVote],
    redact: Callable[[str], str],
    answers: Sequence[LabeledAnswer],
    stop: StopRequest,
) -> tuple[tuple[VerdictsByCriterion | None, ...], Mapping[str, int], JudgeTrust]:
    panel = Panel([judge], cache, redact, controls=False)
    slots = asyncio.Semaphore(CONCURRENCY)
    missing: Counter[str] = Counter()

    async def ask(answer: LabeledAnswer) -> VerdictsByCriterion | None:
        async with slots:
            votes = (
                (answer.empty_answer_vote,)
                if answer.empty_answer_vote
                else await panel.collect_votes("", answer.request)
            )
        lost = next((vote for vote in votes if vote.state != "scored"), None)
        if lost is not None:
            missing[lost.problem] += 1
            return None
        verdicts = combine_votes(answer.request.criteria, votes)
        return {verdict.criterion: verdict for verdict in verdicts}

    async def ask_all() -> tuple[VerdictsByCriterion | None, ...]:
        return tuple(await asyncio.gather(*map(ask, answers)))

    try:
        with stop.busy():
            verdicts = await stop.finish_in_time(ask_all())
        if stop.signal_number is not None or verdicts is None:
            raise Interrupted(
                "interrupted; nothing was stored. The verdicts so far are cached. Give the command "
                "again to continue.",
                stop.signal_number or signal.SIGINT,
            )
        return verdicts, dict(missing), await panel.finish()
    finally:
        panel.cancel()
