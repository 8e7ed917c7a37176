"""Merge requests on GitLab, with its REST API v4.

Fields: docs.gitlab.com, "Notes API", "Commits API", and "Predefined CI/CD variables reference".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.hosts.build_variables import check_number, read_first, read_sha, read_token
from evalkit.hosts.comments import CommentDraft, CommitStatus, HostComment, Posted
from evalkit.hosts.rest_api import RestApi, get_id, get_object, get_text

_OPEN_REQUEST = re.compile(r"[^,!]+!([1-9][0-9]*)")
_STATES = {"success": "success", "failure": "failed", "error": "failed"}


class GitLabMergeRequest:
    """A merge request on GitLab: the numbers of its project and of itself, its page, and its commit."""

    def __init__(self, api: RestApi, *, project: str, number: str, page: str, sha: str) -> None:
        self.api = api
        self.sha = sha
        self._project = f"projects/{project}"
        self._notes = f"{self._project}/merge_requests/{number}/notes"
        self._page = page

    async def read_comments(self) -> AsyncIterator[HostComment]:
        """Yield the notes that the owner of the token wrote."""
        own = get_id(await self.api.request("GET", "user"))
        async for each in self.api.read_pages(f"{self._notes}?order_by=created_at&sort=asc"):
            if get_id(get_object(each, "author")) == own:
                yield HostComment(get_id(each), get_text(each, "body"), self._find_url(each))

    def _find_url(self, note: Json) -> str:
        return f"{self._page}#note_{get_id(note)}"

    async def create_comment(self, draft: CommentDraft) -> str:
        """Post a new note and return its URL."""
        return self._find_url(await self.api.request("POST", self._notes, {"body": draft.text}))

    async def update_comment(self, comment: HostComment, draft: CommentDraft) -> str:
        """Replace the text of a note and return its URL."""
        path = f"{self._notes}/{comment.id}"
        return self._find_url(await self.api.request("PUT", path, {"body": draft.text}))

    async def set_status(self, status: CommitStatus) -> str:
        """Set a status on the head commit and return its URL."""
        body: Json = {
            "state": _STATES[status.state],
            "name": status.context,
            "description": status.description,
        }
        made = await self.api.request("POST", f"{self._project}/statuses/{self.sha}", body)
        return get_text(made, "target_url")

    def name_permission(self, what: Posted) -> str:
        """Return what the token needs to post, as a sentence."""
        return (
            f"The token may not set a {what}. GITLAB_TOKEN must be a token with the scope `api` and "
            f"the role Developer in the project of the merge request. Merge requests from forks get no "
            f"variables of the project."
        )


def find_gitlab_merge_request(
    environ: Mapping[str, str], number: int | None
) -> GitLabMergeRequest | None:
    """Return the merge request of this pipeline; None if it has none.

    Raises:
        InvalidInput: the environment names no API or project, or has no token.
    """
    address = environ.get("CI_API_V4_URL", "")
    project = check_number(read_first(environ, "CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID"))
    if not address or not project:
        raise InvalidInput.single(
            "CI_API_V4_URL and CI_PROJECT_ID name no project. Post from a job of GitLab CI."
        )
    token = read_token(
        environ,
        "GITLAB_TOKEN",
        remedy="Create a project access token with the scope `api`, and add it as a masked CI/CD variable. "
        "The job's own CI_JOB_TOKEN may not comment.",
    )
    found = check_number(str(number or _find_number(environ)))
    if not found:
        return None
    home = read_first(environ, "CI_MERGE_REQUEST_PROJECT_URL", "CI_PROJECT_URL")
    return GitLabMergeRequest(
        RestApi(address, f"Bearer {token}", environ),
        project=project,
        number=found,
        page=f"{home}/-/merge_requests/{found}",
        sha=find_gitlab_sha(environ),
    )


def _find_number(environ: Mapping[str, str]) -> str:
    """Return the number of the merge request; in the pipeline of a branch, that of its only open one."""
    if number := environ.get("CI_MERGE_REQUEST_IID", ""):
        return number
    requests = _OPEN_REQUEST.findall(environ.get("CI_OPEN_MERGE_REQUESTS", ""))
    return requests[0] if len(requests) == 1 else ""


def find_gitlab_sha(environ: Mapping[str, str]) -> str:
    """Return the commit that is built; empty if the environment names none."""
    return read_sha(environ, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "CI_COMMIT_SHA")
