"""Ask one judge, or a jury, for verdicts on labeled answers with fresh calls, once and again."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from evalkit.agents.variables import list_variables
from evalkit.core.errors import Interrupted, InvalidInput, Undecidable
from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeTrust, JudgeVote
from evalkit.core.redaction import Redactor
from evalkit.core.run import RunEnvironment
from evalkit.judge.anchors import LabeledAnswer
from evalkit.judge.judge import Judge
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.jury import open_panel
from evalkit.judge.registry import open_judges
from evalkit.judge.scoring import combine_votes
from evalkit.judge.votes import vote_key
from evalkit.runner.cache_trust import find_cache_trust
from evalkit.runner.signals import StopRequest
from evalkit.store.cache import Cache, CacheTrust, NoCache, cache_folder

CONCURRENCY = 64
"""Maximum number of answers in progress. The judge has its own limit on calls."""

VerdictsByCriterion = Mapping[str, CriterionVerdict]
LevelsByJuror = Mapping[str, Mapping[str, str]]
"""The level that each juror gave, by criterion and then by juror."""


class UnfinishedVotes(Cache[JudgeVote]):
    """The votes of a calibration until it is stored, so that one that was interrupted pays for none twice.

    They are also put into the cache of the runs, from which a calibration takes none: what a judge said
    some time ago does not show what it says now.
    """

    def __init__(self, root: Path, trust: CacheTrust) -> None:
        super().__init__(cache_folder(root, "calibrations"), JudgeVote, trust)
        self._of_runs = Cache(cache_folder(root, "verdicts"), JudgeVote, trust)
        self._keys: set[str] = set()

    def get(self, key: str) -> JudgeVote | None:
        """Return the vote of the interrupted calibration."""
        self._keys.add(key)
        return super().get(key)

    def put(self, key: str, record: JudgeVote) -> None:
        """Store a vote for this calibration, and for the runs."""
        super().put(key, record)
        self._of_runs.put(key, record)

    def forget(self) -> None:
        """Delete the votes: the next calibration asks for new ones."""
        for key in self._keys:
            self.delete(key)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswers:
    """The verdicts of a judge, in the order of the answers; None means no verdict.

    `jurors` has the levels of each juror in the order of the answers, if the judge is a jury. `kept` of the
    first verdicts are from an interrupted calibration, which are `unfinished` until this one is stored.
    """

    judge: str
    digest: str
    first: tuple[VerdictsByCriterion | None, ...]
    repeats: tuple[tuple[VerdictsByCriterion | None, ...], ...]
    missing: Mapping[str, int]
    trusts: tuple[JudgeTrust, ...]
    kept: int
    unfinished: UnfinishedVotes
    jurors: tuple[LevelsByJuror, ...] = ()


async def judge_answers(
    specs: Sequence[JudgeSpec],
    environment: RunEnvironment,
    answers: Sequence[LabeledAnswer],
    repeats: int,
    stop: StopRequest,
) -> JudgedAnswers:
    """Ask a judge for a verdict on every answer, then `repeats` more times, all with fresh calls.

    Raises:
        Interrupted: a stop was requested.
        InvalidInput: the judge cannot be called until the user fixes a problem.
        Undecidable: the judge stopped answering.
    """
    named = [variable.name for spec in specs for variable in list_variables(spec)]
    redact = Redactor(environment.environ, named).redact_text
    async with open_judges(specs, environment) as judges:
        for judge in judges:
            stop.on_request(judge.stop)
            await judge.start()

        def make_panel(cache: Cache[JudgeVote]) -> JudgePanel:
            return open_panel(specs, judges, cache, redact, controls=False)

        unfinished = UnfinishedVotes(environment.root, find_cache_trust(specs, environment))
        kept = sum(_is_kept(unfinished, judges, answer) for answer in answers)
        panel = make_panel(unfinished)
        first = await _judge_all(panel, answers, stop)
        again = [
            await _judge_all(make_panel(NoCache(JudgeVote)), answers, stop) for _ in range(repeats)
        ]
        if panel.problem_to_fix is not None:
            raise InvalidInput([panel.problem_to_fix])
        if panel.down_reason:
            raise Undecidable(
                f"the judge {panel.active_judge.name} stopped answering ({panel.down_reason}). "
                f"Its verdicts are cached; try again later."
            )
        return JudgedAnswers(
            judge=panel.active_judge.name,
            digest=panel.active_judge.digest,
            first=first.verdicts,
            repeats=tuple(each.verdicts for each in again),
            missing=first.missing,
            trusts=tuple(each.trust for each in (first, *again)),
            kept=kept,
            unfinished=unfinished,
            jurors=first.jurors,
        )


def _is_kept(unfinished: UnfinishedVotes, judges: Sequence[Judge], answer: LabeledAnswer) -> bool:
    """Return whether no call is needed for a verdict on an answer, which an interrupted calibration has."""
    called = [judge for judge in judges if not judge.is_local]
    if answer.empty_answer_vote or not called:
        return False
    requests = [
        (judge, replace(answer.request, vote=vote))
        for judge in called
        for vote in range(judge.votes)
    ]
    return all(unfinished.get(vote_key(judge, request)) is not None for judge, request in requests)


class _Round(NamedTuple):
    """The verdicts on all answers when each was judged once."""

    verdicts: tuple[VerdictsByCriterion | None, ...]
    jurors: tuple[LevelsByJuror, ...]
    missing: Mapping[str, int]
    trust: JudgeTrust


def _list_juror_levels(votes: Sequence[JudgeVote]) -> LevelsByJuror:
    found: dict[str, dict[str, str]] = {}
    for juror in (juror for vote in votes for juror in vote.jurors):
        for verdict in juror.verdicts:
            found.setdefault(verdict.criterion, {})[juror.judge] = verdict.level
    return found


async def _judge_all(
    panel: JudgePanel, answers: Sequence[LabeledAnswer], stop: StopRequest
) -> _Round:
    slots = asyncio.Semaphore(CONCURRENCY)
    missing: Counter[str] = Counter()

    async def ask(answer: LabeledAnswer) -> tuple[VerdictsByCriterion | None, LevelsByJuror]:
        async with slots:
            votes = (
                (answer.empty_answer_vote,)
                if answer.empty_answer_vote
                else await panel.collect_votes("", answer.request)
            )
        lost = next((vote for vote in votes if vote.state != "scored"), None)
        if lost is not None:
            missing[lost.problem] += 1
            return None, _list_juror_levels(votes)
        verdicts = combine_votes(answer.request.criteria, votes)
        return {verdict.criterion: verdict for verdict in verdicts}, _list_juror_levels(votes)

    async def ask_all() -> list[tuple[VerdictsByCriterion | None, LevelsByJuror]]:
        return await asyncio.gather(*map(ask, answers))

    try:
        with stop.busy():
            judged = await stop.finish_in_time(ask_all())
        if stop.signal_number is not None or judged is None:
            raise Interrupted(
                "interrupted; nothing was stored. The verdicts so far are cached. Give the command "
                "again to continue.",
                stop.signal_number or signal.SIGINT,
            )
        return _Round(
            verdicts=tuple(verdicts for verdicts, _ in judged),
            jurors=tuple(levels for _, levels in judged),
            missing=dict(missing),
            trust=await panel.finish(),
        )
    finally:
        panel.cancel()
