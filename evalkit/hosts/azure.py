"""Pull requests in Azure Repos, with the REST API of Azure DevOps 7.1.

Fields: learn.microsoft.com, "Pull Request Threads", "Pull Request Thread Comments", "Pull Request
Statuses", and "Predefined variables".
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.hosts.build_variables import check_number, read_sha, read_token
from evalkit.hosts.comments import CommentDraft, CommitStatus, HostComment, Posted
from evalkit.hosts.rest_api import RestApi, get_id, get_object, get_objects, get_text

_VERSION = "api-version=7.1"
_NAME = re.compile(r"[\w .()-]+")
_STATES = {"success": "succeeded", "failure": "failed", "error": "error"}


class AzurePullRequest:
    """A pull request in Azure Repos: the paths of its project and of itself, its page, and its commit."""

    def __init__(self, api: RestApi, *, project: str, pull: str, page: str, sha: str) -> None:
        self.api = api
        self.sha = sha
        self._pull = f"{project}/_apis/git/{pull}"
        self._page = page

    async def read_comments(self) -> AsyncIterator[HostComment]:
        """Yield the first comment of each thread that the owner of the token wrote."""
        user = await self.api.request("GET", "_apis/connectionData?api-version=7.1-preview.1")
        own = get_id(get_object(user, "authenticatedUser"))
        threads = await self.api.request("GET", f"{self._pull}/threads?{_VERSION}")
        for thread in get_objects(threads, "value"):
            for each in get_objects(thread, "comments")[:1]:
                is_own = bool(own) and get_id(get_object(each, "author")) == own
                if is_own and not each.get("isDeleted"):
                    place = f"{get_id(thread)}/{get_id(each)}"
                    yield HostComment(place, get_text(each, "content"), self._page)

    async def create_comment(self, draft: CommentDraft) -> str:
        """Post a new thread with one comment and return its URL."""
        body: Json = {
            "comments": [{"parentCommentId": 0, "content": draft.text, "commentType": "text"}],
            "status": _find_thread_status(draft),
        }
        await self.api.request("POST", f"{self._pull}/threads?{_VERSION}", body)
        return self._page

    async def update_comment(self, comment: HostComment, draft: CommentDraft) -> str:
        """Replace the text of a comment, open or close its thread, and return its URL."""
        thread, _, number = comment.id.partition("/")
        path = f"{self._pull}/threads/{thread}"
        text: Json = {"content": draft.text}
        await self.api.request("PATCH", f"{path}/comments/{number}?{_VERSION}", text)
        status: Json = {"status": _find_thread_status(draft)}
        await self.api.request("PATCH", f"{path}?{_VERSION}", status)
        return self._page

    async def set_status(self, status: CommitStatus) -> str:
        """Set a status on the pull request and return its URL."""
        genre, _, name = status.context.partition("/")
        body: Json = {
            "state": _STATES[status.state],
            "description": status.description,
            "context": {"genre": genre, "name": name or genre},
        }
        await self.api.request("POST", f"{self._pull}/statuses?{_VERSION}", body)
        return self._page

    def name_permission(self, what: Posted) -> str:
        """Return what the token needs to post, as a sentence."""
        return (
            f"If the token may not set a {what}, give the build service of the project the permission "
            f"`Contribute to pull requests` in the security settings of the repository."
        )


def _find_thread_status(draft: CommentDraft) -> str:
    """Return the status of a thread: a branch policy may ask for the resolution of active ones."""
    return "closed" if draft.state == "success" else "active"


def find_azure_pull_request(
    environ: Mapping[str, str], number: int | None
) -> AzurePullRequest | None:
    """Return the pull request of this pipeline run; None if it has none.

    Raises:
        InvalidInput: the environment names no organization, project, or repository, or has no token.
    """
    address = environ.get("SYSTEM_COLLECTIONURI", "").rstrip("/")
    project = environ.get("SYSTEM_TEAMPROJECT", "")
    repository = environ.get("BUILD_REPOSITORY_ID", "")
    if not address or not _NAME.fullmatch(project) or not _NAME.fullmatch(repository):
        raise InvalidInput.single(
            "SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT, and BUILD_REPOSITORY_ID name no repository. Post from a "
            "pipeline of Azure DevOps."
        )
    authorization = _find_authorization(environ)
    found = check_number(str(number or environ.get("SYSTEM_PULLREQUEST_PULLREQUESTID", "")))
    if not found:
        return None
    project, repository = quote(project, safe=""), quote(repository, safe="")
    return AzurePullRequest(
        RestApi(address, authorization, environ),
        project=project,
        pull=f"repositories/{repository}/pullRequests/{found}",
        page=f"{address}/{project}/_git/{repository}/pullrequest/{found}",
        sha=find_azure_sha(environ),
    )


def _find_authorization(environ: Mapping[str, str]) -> str:
    """Return the header for the job's own token, or of a personal one.

    Raises:
        InvalidInput: the environment has neither.
    """
    remedy = "In the step: env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}"
    token = read_token(environ, "SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT", remedy=remedy)
    if environ.get("SYSTEM_ACCESSTOKEN"):
        return f"Bearer {token}"
    return f"Basic {base64.b64encode(f':{token}'.encode()).decode()}"


def find_azure_sha(environ: Mapping[str, str]) -> str:
    """Return the commit that is built; empty if the environment names none."""
    return read_sha(environ, "SYSTEM_PULLREQUEST_SOURCECOMMITID")
