"""Get the vote of a judge: from the cache, from an equal request in the same run, or by asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from evalkit.core.judgement import JudgeExchange, JudgeVote
from evalkit.core.serialization import digest
from evalkit.judge.judge import Judge, JudgeRequest
from evalkit.store.cache import Cache


def vote_key(judge: Judge, request: JudgeRequest) -> str:
    """Return the cache key of a judge's vote on a request."""
    return digest([judge.digest, request.digest])


class VoteSource:
    """The votes of one run; `redact` removes the environment's secrets from what judges write."""

    def __init__(self, cache: Cache[JudgeVote], redact: Callable[[str], str]) -> None:
        self.cache = cache
        self.recorded: list[JudgeVote] = []
        self._redact = redact
        # By identity, because two judges may have equal names and digests.
        self._served: set[int] = set()
        self._calls: dict[str, asyncio.Task[JudgeVote]] = {}

    def has_served(self, judge: Judge) -> bool:
        """Return whether a vote of the judge was recorded."""
        return id(judge) in self._served

    def find_cached(self, judge: Judge, request: JudgeRequest) -> JudgeVote | None:
        """Return the cached vote of a judge, or None."""
        cached = self.cache.get(vote_key(judge, request))
        return None if cached is None else _as_cached(cached)

    def record(self, judge: Judge, vote: JudgeVote) -> JudgeVote:
        """Add a vote to those of the run, without its texts."""
        self._served.add(id(judge))
        self.recorded.append(replace(vote, exchanges=(), verdicts=()))
        return vote

    async def get(self, judge: Judge, request: JudgeRequest) -> JudgeVote:
        """Return a judge's vote: a cached one, that on an equal request of the run, or a new one."""
        if judge.is_local:
            return self.record(judge, await judge.grade(request))
        cached = self.find_cached(judge, request)
        if cached is not None:
            return cached
        key = vote_key(judge, request)
        if key in self._calls:
            return _as_cached(await asyncio.shield(self._calls[key]))
        task = asyncio.ensure_future(self._ask(judge, request, key))
        self._calls[key] = task
        # Shielded, because others may wait for the same call when this one is canceled.
        return await asyncio.shield(task)

    async def ask(self, judge: Judge, request: JudgeRequest) -> JudgeVote:
        """Ask a judge for a new vote, even if there is one on an equal request; do not cache it."""
        return self.record(judge, self._without_secrets(await judge.grade(request)))

    def cancel(self) -> None:
        """Stop the requests in progress."""
        for task in self._calls.values():
            task.cancel()

    async def _ask(self, judge: Judge, request: JudgeRequest, key: str) -> JudgeVote:
        vote = self.record(judge, self._without_secrets(await judge.grade(request)))
        if vote.state == "scored":
            self.cache.put(key, vote)
        else:
            # Ask again for the next equal request: it may get a vote.
            self._calls.pop(key, None)
        return vote

    def _without_secrets(self, vote: JudgeVote) -> JudgeVote:
        redact = self._redact
        return replace(
            vote,
            problem=redact(vote.problem),
            verdicts=tuple(
                replace(each, evidence=redact(each.evidence), explanation=redact(each.explanation))
                for each in vote.verdicts
            ),
            exchanges=tuple(
                JudgeExchange(
                    asked=redact(each.asked),
                    answered=redact(each.answered),
                    problem=redact(each.problem),
                )
                for each in vote.exchanges
            ),
        )


def _as_cached(vote: JudgeVote) -> JudgeVote:
    """Return a vote as cached: it took no call this time."""
    return replace(
        vote,
        calls=0,
        input_tokens=0,
        output_tokens=0,
        cached_tokens=0,
        cost_usd=None,
        is_cached=True,
    )
