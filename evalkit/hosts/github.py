"""Pull requests on GitHub, with its REST API."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from evalkit.core.errors import InvalidInput
from evalkit.core.files import read_stored_file
from evalkit.core.literals import Json
from evalkit.hosts.build_variables import check_sha, read_token
from evalkit.hosts.comments import CommentDraft, CommitStatus, HostComment, NoPullRequest, Posted
from evalkit.hosts.rest_api import RestApi, get_id, get_object, get_objects, get_text

_API = "https://api.github.com"
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_PERMISSIONS = {
    "comment": "pull-requests: write",
    "status": "statuses: write",
    "check": "checks: write",
}
_TRUSTED_ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR")
"""Authors, in addition to bots, whose comment is updated. Anybody else could copy the marker."""


class PullRequest(NamedTuple):
    """A pull request from an event: its number or its branch (`owner:branch`), and its head commit."""

    number: int = 0
    branch: str = ""
    sha: str = ""


class GitHubPullRequest:
    """A pull request on GitHub."""

    def __init__(self, api: RestApi, pull: PullRequest) -> None:
        self.api = api
        self.pull = pull
        self._number = pull.number

    @property
    def sha(self) -> str:
        """The head commit; empty if the event does not name it."""
        return self.pull.sha

    async def read_comments(self) -> AsyncIterator[HostComment]:
        """Yield the comments that a bot or a trusted author wrote."""
        self._number = self._number or await self._find_number()
        if self.pull.number and self.pull.sha and not await self._is_head():
            raise NoPullRequest(f"{self.pull.sha[:10]} is no longer the newest commit")
        # The API cannot search comments.
        async for each in self.api.read_pages(f"issues/{self._number}/comments"):
            is_bot = get_text(get_object(each, "user"), "type") == "Bot"
            if is_bot or get_text(each, "author_association") in _TRUSTED_ASSOCIATIONS:
                body, url = get_text(each, "body"), get_text(each, "html_url")
                yield HostComment(get_id(each), body, url)

    async def _find_number(self) -> int:
        """Return the number of the open pull request with the branch and the head commit."""
        path = f"pulls?state=open&head={quote(self.pull.branch, safe='')}"
        for each in get_objects(await self.api.request("GET", path)):
            number = each.get("number")
            if get_text(get_object(each, "head"), "sha") == self.pull.sha and isinstance(
                number, int
            ):
                return number
        raise NoPullRequest(f"no open pull request of {self.pull.branch} at {self.pull.sha[:10]}")

    async def _is_head(self) -> bool:
        """Return whether the commit of the event is still the newest one of the pull request."""
        found = await self.api.request("GET", f"pulls/{self._number}")
        return get_text(get_object(found, "head"), "sha") == self.pull.sha

    async def create_comment(self, draft: CommentDraft) -> str:
        """Post a new comment and return its URL."""
        body: Json = {"body": draft.text}
        made = await self.api.request("POST", f"issues/{self._number}/comments", body)
        return get_text(made, "html_url")

    async def update_comment(self, comment: HostComment, draft: CommentDraft) -> str:
        """Replace the text of a comment and return its URL."""
        made = await self.api.request(
            "PATCH", f"issues/comments/{comment.id}", {"body": draft.text}
        )
        return get_text(made, "html_url")

    async def set_status(self, status: CommitStatus) -> str:
        """Set a status on the head commit and return its URL."""
        made = await self.api.request("POST", f"statuses/{self.sha}", status._asdict())
        return get_text(made, "url")

    def name_permission(self, what: Posted) -> str:
        """Return the permission to add."""
        return (
            f"The token lacks permission. Add to the job's permissions:\n"
            f"  permissions:\n    contents: read\n    {_PERMISSIONS[what]}\n"
            f"In a pull request from a fork, no token has it; `evalkit init --forks` writes workflows for that."
        )


def find_github_pull_request(
    environ: Mapping[str, str], number: int | None
) -> GitHubPullRequest | None:
    """Return the pull request of this workflow run; None if its event has none.

    Raises:
        InvalidInput: this is no workflow run, it has no token, or its event cannot be read.
    """
    name = environ.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(name):
        raise InvalidInput.single(
            "GITHUB_REPOSITORY names no repository. Post from a workflow on GitHub, or set it to "
            "owner/name."
        )
    remedy = "In the workflow: env: {GITHUB_TOKEN: '${{ github.token }}'}"
    token = read_token(environ, "GITHUB_TOKEN", "GH_TOKEN", remedy=remedy)
    pull = read_github_event(environ, number)
    if pull is None:
        return None
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    address = f"{environ.get('GITHUB_API_URL', _API).rstrip('/')}/repos/{name}"
    return GitHubPullRequest(RestApi(address, f"Bearer {token}", environ, headers), pull)


def read_github_event(environ: Mapping[str, str], number: int | None) -> PullRequest | None:
    """Return the pull request of this workflow run's event; None if it has none.

    A `workflow_run` event has the branch and the commit of the run that triggered it. GitHub sets both, so
    they can be trusted; an artifact of that run could contain anything.

    Raises:
        InvalidInput: the event cannot be read.
    """
    path = environ.get("GITHUB_EVENT_PATH", "")
    try:
        event = json.loads(read_stored_file(Path(path))) if path else {}
    except ValueError as error:
        raise InvalidInput.single(f"{path}: not a GitHub event: {error}.") from error
    request = get_object(event, "pull_request") or get_object(event, "issue")
    run = get_object(event, "workflow_run")
    sha = check_sha(get_text(get_object(request, "head"), "sha") or get_text(run, "head_sha"))
    found = number or request.get("number")
    if isinstance(found, int) and found > 0:
        return PullRequest(number=found, sha=sha)
    owner = get_text(get_object(get_object(run, "head_repository"), "owner"), "login")
    branch = get_text(run, "head_branch")
    return PullRequest(branch=f"{owner}:{branch}", sha=sha) if owner and branch and sha else None


def find_github_sha(environ: Mapping[str, str]) -> str:
    """Return the head commit of the pull request of this workflow run; empty if it has none.

    Raises:
        InvalidInput: the event cannot be read.
    """
    pull = read_github_event(environ, None)
    return pull.sha if pull else ""
