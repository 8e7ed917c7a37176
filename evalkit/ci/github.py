"""Post or update one comment on a GitHub pull request, with the REST API.

A refused request is only reported: the result of a run never depends on its comment.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

import aiohttp

from evalkit import __version__
from evalkit.agents.network_errors import RETRYABLE_STATUSES, choose_proxy, get_host
from evalkit.core.errors import InvalidInput
from evalkit.core.files import read_stored_file
from evalkit.core.literals import Json

_API = "https://api.github.com"
# Values from the environment become part of a URL, so they must match in full.
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SHA = re.compile(r"[0-9a-f]{40,64}")
_PAGE = 100
_MAX_PAGES = 50
_TIMEOUT_S = 30
_TRUSTED_ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR")
"""Authors, in addition to bots, whose comment is updated. Anybody else could copy the marker."""

RETRY_DELAYS_S = (1.0, 4.0)
"""Seconds before the second and the third attempt of a request."""

PostOutcome: TypeAlias = Literal["created", "updated", "unchanged", "skipped", "refused"]


class PullRequest(NamedTuple):
    """A pull request from an event: its number or its branch (`owner:branch`), and its head commit."""

    number: int = 0
    branch: str = ""
    sha: str = ""


class GitHubRepository(NamedTuple):
    """The API, the repository, and the token to call it with."""

    api: str
    repository: str
    token: str
    proxy: str | None = None


class CommitStatus(NamedTuple):
    """The status of a commit; `context` names the check."""

    state: Literal["success", "failure", "error"]
    context: str
    description: str


class CommentDraft(NamedTuple):
    """A text that begins with a marker. With `only_updates`, it only replaces an existing comment."""

    text: str
    marker: str
    only_updates: bool = False


class PostResult(NamedTuple):
    """What happened to a comment or a status, with the reason or the URL."""

    outcome: PostOutcome
    detail: str


class _RequestRefused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_github_repository(environ: Mapping[str, str]) -> GitHubRepository:
    """Return the repository of this workflow run, and its token.

    Raises:
        InvalidInput: this is no workflow run, or it has no token.
    """
    name = environ.get("GITHUB_REPOSITORY", "")
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN", "")
    if not _REPOSITORY.fullmatch(name):
        raise InvalidInput.single(
            "GITHUB_REPOSITORY names no repository. Post from a workflow on GitHub, or set it to "
            "owner/name."
        )
    if not token:
        raise InvalidInput.single(
            "GITHUB_TOKEN is not set. In the workflow: env: {GITHUB_TOKEN: '${{ github.token }}'}"
        )
    api = environ.get("GITHUB_API_URL", _API).rstrip("/")
    return GitHubRepository(api, name, token, choose_proxy(urlsplit(api), environ))


def find_pull_request(environ: Mapping[str, str], number: int | None) -> PullRequest | None:
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
    request = _get_object(event, "pull_request") or _get_object(event, "issue")
    run = _get_object(event, "workflow_run")
    sha = _get_text(_get_object(request, "head"), "sha") or _get_text(run, "head_sha")
    sha = sha if _SHA.fullmatch(sha) else ""
    found = number or request.get("number")
    if isinstance(found, int) and found > 0:
        return PullRequest(number=found, sha=sha)
    owner = _get_text(_get_object(_get_object(run, "head_repository"), "owner"), "login")
    branch = _get_text(run, "head_branch")
    return PullRequest(branch=f"{owner}:{branch}", sha=sha) if owner and branch and sha else None


def _get_object(value: Json, name: str) -> dict[str, Json]:
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}


def _get_text(value: Json, name: str) -> str:
    text = value.get(name) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


async def post_comment(
    repository: GitHubRepository,
    pull: PullRequest,
    draft: CommentDraft,
    *,
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> PostResult:
    """Post a comment on a pull request, or replace the one that begins with the same marker."""
    async with _open_session(repository) as session:
        api = _GitHubApi(repository, session, retry_delays_s)
        try:
            number = pull.number or await api.find_number(pull)
            if not number:
                return PostResult(
                    "skipped", f"no open pull request of {pull.branch} at {pull.sha[:10]}"
                )
            if pull.number and pull.sha and not await api.is_head(pull):
                return PostResult("skipped", f"{pull.sha[:10]} is no longer the newest commit")
            found = await api.find_comment(number, draft.marker)
            if found is None and draft.only_updates:
                return PostResult("skipped", "nothing changed, and there is no comment to update")
            if found is None:
                made = await api.request("POST", f"issues/{number}/comments", {"body": draft.text})
                return PostResult("created", _get_text(made, "html_url"))
            # An edit would notify subscribers, even without a change.
            if found.get("body") == draft.text:
                return PostResult("unchanged", _get_text(found, "html_url"))
            made = await api.request(
                "PATCH", f"issues/comments/{found['id']}", {"body": draft.text}
            )
            return PostResult("updated", _get_text(made, "html_url"))
        except _RequestRefused as refusal:
            return PostResult("refused", _explain_refusal(refusal, "pull-requests: write"))


async def set_status(
    repository: GitHubRepository,
    sha: str,
    status: CommitStatus,
    *,
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> PostResult:
    """Set the status of a commit, for a run that is not itself a check of it."""
    async with _open_session(repository) as session:
        try:
            made = await _GitHubApi(repository, session, retry_delays_s).request(
                "POST", f"statuses/{sha}", status._asdict()
            )
        except _RequestRefused as refusal:
            return PostResult("refused", _explain_refusal(refusal, "statuses: write"))
        return PostResult("created", _get_text(made, "url"))


def _explain_refusal(refusal: _RequestRefused, permission: str) -> str:
    if refusal.status not in (401, 403, 404):
        return str(refusal)
    return (
        f"{refusal} The token lacks permission. Add to the job's permissions:\n"
        f"  permissions:\n    contents: read\n    {permission}\n"
        f"In a pull request from a fork, no token has it; `evalkit init --forks` writes workflows for that."
    )


def _open_session(repository: GitHubRepository) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {repository.token}",
            "User-Agent": f"evalkit/{__version__}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
    )


class _GitHubApi:
    """The requests that evalkit sends, with retries on server errors."""

    def __init__(
        self,
        repository: GitHubRepository,
        session: aiohttp.ClientSession,
        retry_delays_s: Sequence[float],
    ) -> None:
        self._github = repository
        self._session = session
        self._retry_delays_s = retry_delays_s

    async def find_number(self, pull: PullRequest) -> int:
        """Return the number of the open pull request with a branch and a head commit; 0 if none."""
        found = await self.request("GET", f"pulls?state=open&head={quote(pull.branch, safe='')}")
        for each in found if isinstance(found, list) else ():
            if _get_text(_get_object(each, "head"), "sha") == pull.sha and isinstance(
                each["number"], int
            ):
                return each["number"]
        return 0

    async def is_head(self, pull: PullRequest) -> bool:
        """Return whether the commit of a pull request is still its newest one."""
        found = await self.request("GET", f"pulls/{pull.number}")
        return _get_text(_get_object(found, "head"), "sha") == pull.sha

    async def find_comment(self, number: int, marker: str) -> dict[str, Json] | None:
        """Return the comment that begins with a marker, if a bot or a trusted author wrote it."""
        # The API cannot search comments, so read page by page.
        for page in range(1, _MAX_PAGES + 1):
            path = f"issues/{number}/comments?per_page={_PAGE}&page={page}"
            comments = await self.request("GET", path)
            if not isinstance(comments, list):
                return None
            for each in comments:
                is_bot = _get_text(_get_object(each, "user"), "type") == "Bot"
                trusted = is_bot or _get_text(each, "author_association") in _TRUSTED_ASSOCIATIONS
                if trusted and _get_text(each, "body").startswith(marker):
                    return dict(each)
            if len(comments) < _PAGE:
                return None
        return None

    async def request(self, method: str, path: str, body: Json = None) -> Json:
        """Send a request, with retries, and return the reply as JSON."""
        url = f"{self._github.api}/repos/{self._github.repository}/{path}"
        for delay_s in (*self._retry_delays_s, None):
            try:
                async with self._session.request(
                    method, url, json=body, proxy=self._github.proxy
                ) as reply:
                    content = await reply.read()
                    status = reply.status
            except (aiohttp.ClientError, TimeoutError) as error:
                # The comment may exist even if the reply was lost, and must not be posted twice.
                if delay_s is None or method == "POST":
                    message = f"{get_host(url)} could not be reached: {type(error).__name__}."
                    raise _RequestRefused(0, message) from error
            else:
                parsed = _parse(content)
                if status < 300 and parsed is None:
                    raise _RequestRefused(0, f"{get_host(url)} did not reply in JSON.")
                if status < 300:
                    return parsed
                if status not in RETRYABLE_STATUSES or delay_s is None:
                    reason = _get_text(parsed, "message")[:200]
                    raise _RequestRefused(
                        status, f"{get_host(url)} answered HTTP {status} {reason}."
                    )
            await asyncio.sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")


def _parse(content: bytes) -> Json:
    """Return a reply; None if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
