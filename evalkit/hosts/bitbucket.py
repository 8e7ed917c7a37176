"""Pull requests on Bitbucket Cloud, with its REST API 2.0.

Fields: developer.atlassian.com, "Pullrequests" and "Commit statuses"; support.atlassian.com, "Variables
and secrets". Comments there support no HTML and at most 32,768 characters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.hosts.build_variables import check_number, read_sha, read_token
from evalkit.hosts.comments import CommentDraft, CommitStatus, HostComment, Posted
from evalkit.hosts.rest_api import RestApi, get_id, get_object, get_text

_API = "https://api.bitbucket.org/2.0"
_NAME = re.compile(r"[A-Za-z0-9_.{}-]+")
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

    async def read_comments(self) -> AsyncIterator[HostComment]:
        """Yield the comments that were not deleted.

        An access token belongs to no user, so the author cannot be checked. Bitbucket refuses to update a
        comment of somebody else.
        """
        async for each in self.api.read_pages(self._comments, size="pagelen", name="values"):
            if not each.get("deleted"):
                text = get_text(get_object(each, "content"), "raw")
                yield HostComment(get_id(each), text, self._find_url(each))

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

    def name_permission(self, what: Posted) -> str:
        """Return what the token needs to post, as a sentence."""
        scope = "pullrequest:write" if what == "comment" else "repository:write"
        return f"BITBUCKET_ACCESS_TOKEN must be an access token of the repository with the scope `{scope}`."


def find_bitbucket_pull_request(
    environ: Mapping[str, str], number: int | None
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
    token = read_token(
        environ,
        "BITBUCKET_ACCESS_TOKEN",
        remedy="Create an access token of the repository with the scope `pullrequest:write`, and add it as a "
        "secured variable.",
    )
    found = check_number(str(number or environ.get("BITBUCKET_PR_ID", "")))
    if not found:
        return None
    home = environ.get("BITBUCKET_GIT_HTTP_ORIGIN", f"https://bitbucket.org/{workspace}/{name}")
    address = (
        f"{environ.get('BITBUCKET_API_URL', _API).rstrip('/')}/repositories/{workspace}/{name}"
    )
    return BitbucketPullRequest(
        RestApi(address, f"Bearer {token}", environ),
        number=found,
        page=f"{home}/pull-requests/{found}",
        sha=find_bitbucket_sha(environ),
        build_page=f"{home}/pipelines/results/{environ.get('BITBUCKET_BUILD_NUMBER', '')}",
    )


def find_bitbucket_sha(environ: Mapping[str, str]) -> str:
    """Return the commit that is built; empty if the environment names none."""
    return read_sha(environ, "BITBUCKET_COMMIT")
