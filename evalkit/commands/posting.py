"""A comment on its way to the pull request of this workflow run, and a status to its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.pull_requests import (
    PAUSES_S,
    Draft,
    Status,
    find_forge,
    find_pull,
    post_comment,
    set_status,
)
from evalkit.reports.comment import Comment
from evalkit.reports.facts import reason_words
from evalkit.reports.report import Report
from evalkit.text import one_line
from evalkit.verdict import Verdict
from evalkit.world import World

_LONGEST_STATUS = 140
"""Characters that GitHub takes; a few are left for what it counts otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How a comment is posted.

    `pull_request` is its number where the event does not tell. With `only_news` no new comment is made
    where nothing changed. With `status` the commit is marked as well.
    """

    pull_request: int | None = None
    only_news: bool = False
    status: bool = False
    pauses_s: Sequence[float] = PAUSES_S


def post(report: Report, comment: Comment, delivery: Delivery, world: World) -> tuple[str, ...]:
    """Post the comment, or update it; what became of it, in words.

    Raises:
        InvalidInput: it is not known where to.
    """
    forge = find_forge(world.environ)
    pull = find_pull(world.environ, delivery.pull_request)
    if pull is None:
        return ("no comment: this event is about no pull request. Give --pull-request N.",)
    told = []
    if delivery.status and not pull.sha:
        told.append("no status: the event names no commit.")
    elif delivery.status:
        status = status_of(report.run.header.evalset, report.verdict)
        done = asyncio.run(set_status(forge, pull.sha, status, pauses_s=delivery.pauses_s))
        told.append(f"status {status.state} {done.done}: {done.told}")
    draft = Draft(
        comment.text, comment.mark, only_updates=delivery.only_news and not comment.is_news
    )
    posted = asyncio.run(post_comment(forge, pull, draft, pauses_s=delivery.pauses_s))
    return (*told, f"comment {posted.done}: {posted.told}")


def status_of(evalset: str, verdict: Verdict) -> Status:
    """A verdict as a commit status: an error where nothing could be decided."""
    state: Literal["success", "failure", "error"] = "success"
    if verdict.exit_code:
        state = "failure" if verdict.outcome == "fail" else "error"
    return Status(
        state=state,
        context=f"evalkit/{one_line(evalset, 60)}",
        description=one_line(reason_words(verdict), _LONGEST_STATUS - 10),
    )
