"""Keep one comment of evalkit on a pull request up to date, whatever its host.

A refused request is only reported: the result of a run never depends on its comment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol, TypeAlias

from evalkit.hosts.rest_api import RequestRefused, RestApi

PostOutcome: TypeAlias = Literal["created", "updated", "unchanged", "skipped", "refused"]
Posted: TypeAlias = Literal["comment", "status", "check"]
StatusState: TypeAlias = Literal["success", "failure", "error"]

MAX_STATUS_CHARS = 130
"""Below GitHub's limit of 140 characters, because GitHub may count them differently."""


class CommentDraft(NamedTuple):
    """A text that begins with a marker, and the state of the run that it is about.

    With `only_updates`, it only replaces an existing comment.
    """

    text: str
    marker: str
    state: StatusState = "success"
    only_updates: bool = False


class HostComment(NamedTuple):
    """A comment of evalkit on its host."""

    id: str
    text: str
    url: str = ""


class CommitStatus(NamedTuple):
    """The status of a commit; `context` names the check."""

    state: StatusState
    context: str
    description: str


class PostResult(NamedTuple):
    """What happened to a comment or a status, with the reason or the URL."""

    outcome: PostOutcome
    detail: str


class NoPullRequest(Exception):
    """The host has no open pull request to post to; the message says of what."""


class PullRequestHost(Protocol):
    """A pull or merge request on its host. Every method but `name_permission` raises `RequestRefused`."""

    @property
    def api(self) -> RestApi:
        """The API of the host."""

    @property
    def sha(self) -> str:
        """The head commit of the request; empty if the environment does not name it."""

    def read_comments(self) -> AsyncIterator[HostComment]:
        """Yield the comments that evalkit may have written. Raises NoPullRequest as well."""

    async def create_comment(self, draft: CommentDraft) -> str:
        """Post a new comment and return its URL."""

    async def update_comment(self, comment: HostComment, draft: CommentDraft) -> str:
        """Replace the text of a comment and return its URL."""

    async def set_status(self, status: CommitStatus) -> str:
        """Set the status of the head commit and return its URL."""

    def name_permission(self, what: Posted) -> str:
        """Return what the token needs to post, as a sentence."""


async def post_comment(host: PullRequestHost, draft: CommentDraft) -> PostResult:
    """Post a comment, or replace the one that begins with the same marker."""
    try:
        async with host.api:
            async for found in host.read_comments():
                if not found.text.startswith(draft.marker):
                    continue
                # An edit may notify subscribers, even without a change.
                if found.text.strip() == draft.text.strip():
                    return PostResult("unchanged", found.url)
                return PostResult("updated", await host.update_comment(found, draft) or found.url)
            if draft.only_updates:
                return PostResult("skipped", "nothing changed, and there is no comment to update")
            return PostResult("created", await host.create_comment(draft))
    except NoPullRequest as reason:
        return PostResult("skipped", str(reason))
    except RequestRefused as refusal:
        return PostResult("refused", explain_refusal(refusal, host, "comment"))


async def post_status(host: PullRequestHost, status: CommitStatus) -> PostResult:
    """Set the status of the head commit, for a run that is not itself a check of it."""
    try:
        async with host.api:
            return PostResult("created", await host.set_status(status))
    except RequestRefused as refusal:
        return PostResult("refused", explain_refusal(refusal, host, "status"))


def explain_refusal(refusal: RequestRefused, host: PullRequestHost, what: Posted) -> str:
    """Return why a request was refused and, if the token may be the reason, what it needs."""
    return f"{refusal} {host.name_permission(what)}" if refusal.is_denial else str(refusal)
