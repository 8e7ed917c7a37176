"""Pull requests on Bitbucket Cloud, with its REST API 2.0.

Fields: developer.atlassian.com, "Pullrequests" and "Commit statuses"; support.atlassian.com, "Variables
and secrets". Comments there support no HTML and at most 32,768 characters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.hosts.comments import CommentDraft, CommitStatus, HostComment
from evalkit.hosts.rest_api import (
    RETRY_DELAYS_S,
    RequestRefused,
    RestApi,
    get_id,
    get_object,
    get_objects,
    get_text,
)

_API = "https://api.bitbucket.org/2.0"
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_NAME = re.compile(r"[A-Za-z0-9_.{}-]+")
_SHA = re.compile(r"[0-9a-f]{12,64}")
_PAGE = 100
_MAX_PAGES = 50
_MAX_KEY_CHARS = 40
_STATES = {"success": "SUCCESSFUL", "failure": "FAILED", "error": "FAILED"}


class BitbucketPullRequest:
    """A pull request on Bitbucket: its number, its page, its commit, and the page of the build."""

    def __init__(self, api: RestApi, *, number: str, page: str, sha: str, build_page: str) -> None:
        self.api = api
        self.sha = sha
        self._comments = f"pullrequests/{number}/comments"
        self._page = page
        self._build_page = build_page

    async def find_comments(self, marker: str) -> AsyncIterator[HostComment]:
        """Yield the comments that begin with a marker and were not deleted.

        An access token belongs to no user, so the author cannot be checked. Bitbucket refuses to update a
        comment of somebody else.
        """
        for page in range(1, _MAX_PAGES + 1):
            path = f"{self._comments}?pagelen={_PAGE}&page={page}"
            reply = await self.api.request("GET", path)
            for each in get_objects(reply, "values"):
                text = get_text(get_object(each, "content"), "raw")
                if not each.get("deleted") and text.startswith(marker):
                    yield HostComment(get_id(each), text, self._find_url(each))
            if not get_text(reply, "next"):
                return

    def _find_url(self, comment: Json) -> str:
        return f"{self._page}#comment-{get_id(comment)}"

    async def create_comment(self, draft: CommentDraft) -> str:
        """Post a new comment and return its URL."""
        body: Json = {"content": {"raw": draft.text}}
        return self._find_url(await self.api.request("POST", self._comments, body))

    async def update_comment(self, comment: HostComment, draft: CommentDraft) -> str:
        """Replace the text of a comment and return its URL."""
        body: Json = {"content": {"raw": draft.text}}
        path = f"{self._comments}/{comment.id}"
        return self._find_url(await self.api.request("PUT", path, body))

    async def set_status(self, status: CommitStatus) -> str:
        """Set a build status on the head commit and return its URL."""
        body: Json = {
            "state": _STATES[status.state],
            "key": status.context[:_MAX_KEY_CHARS],
            "name": status.context,
            "description": status.description,
            "url": self._build_page,
        }
        await self.api.request("POST", f"commit/{self.sha}/statuses/build", body)
        return self._build_page

    def explain_refusal(self, refusal: RequestRefused, what: Literal["comment", "status"]) -> str:
        """Return why a request was refused, and what the token needs."""
        if refusal.status not in (401, 403, 404):
            return str(refusal)
        scope = "pullrequest:write" if what == "comment" else "repository:write"
        return (
            f"{refusal} BITBUCKET_ACCESS_TOKEN must be an access token of the repository with the scope "
            f"`{scope}`."
        )


def find_bitbucket_pull_request(
    environ: Mapping[str, str],
    number: int | None,
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> BitbucketPullRequest | None:
    """Return the pull request of this pipeline; None if it has none.

    Raises:
        InvalidInput: the environment names no repository, or has no token.
    """
    workspace = environ.get("BITBUCKET_WORKSPACE", "")
    name = environ.get("BITBUCKET_REPO_SLUG", "")
    if not _NAME.fullmatch(workspace) or not _NAME.fullmatch(name):
        raise InvalidInput.single(
            "BITBUCKET_WORKSPACE and BITBUCKET_REPO_SLUG name no repository. Post from Bitbucket Pipelines."
        )
    token = environ.get("BITBUCKET_ACCESS_TOKEN", "")
    if not token:
        raise InvalidInput.single(
            "BITBUCKET_ACCESS_TOKEN is not set. Create an access token of the repository with the scope "
            "`pullrequest:write`, and add it as a secured variable."
        )
    found = str(number) if number else environ.get("BITBUCKET_PR_ID", "")
    if not _NUMBER.fullmatch(found):
        return None
    home = environ.get("BITBUCKET_GIT_HTTP_ORIGIN", f"https://bitbucket.org/{workspace}/{name}")
    address = (
        f"{environ.get('BITBUCKET_API_URL', _API).rstrip('/')}/repositories/{workspace}/{name}"
    )
    return BitbucketPullRequest(
        RestApi(address, {"Authorization": f"Bearer {token}"}, environ, retry_delays_s),
        number=found,
        page=f"{home}/pull-requests/{found}",
        sha=find_bitbucket_sha(environ),
        build_page=f"{home}/pipelines/results/{environ.get('BITBUCKET_BUILD_NUMBER', '')}",
    )


def find_bitbucket_sha(environ: Mapping[str, str]) -> str:
    """Return the commit that is built; empty if the environment names none."""
    sha = environ.get("BITBUCKET_COMMIT", "")
    return sha if _SHA.fullmatch(sha) else ""
