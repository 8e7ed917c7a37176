"""Read and write what this action needs of a pull request, with nothing but Python.

It works where evalkit could not be installed. A request that fails changes no result of a run.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

TRUSTED_ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SHA = re.compile(r"[0-9a-f]{40,64}")
_PAGE = 100
_MAX_PAGES = 50
_TIMEOUT_S = 20


class RequestFailed(Exception):
    """A request was refused, or its reply cannot be used; the message says how."""


TROUBLE = (RequestFailed, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What a request and a reply in another form than documented can raise."""


class Comment(NamedTuple):
    """A comment that this action or a trusted author wrote."""

    id: int
    body: str


class Pull(NamedTuple):
    """A pull request and the commit of it that this job is about."""

    number: int
    sha: str


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and sends the token to no other host."""

    def redirect_request(self, req: urllib.request.Request, *reply: Any) -> Any:
        """Return the further request, if the method allows one."""
        further = super().redirect_request(req, *reply)
        if further is not None and (further.type, further.host) != (req.type, req.host):
            further.remove_header("Authorization")
        return further


_OPENER = urllib.request.build_opener(_SafeRedirects)


class GitHub:
    """The REST API of one repository."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._repository = environ.get("GITHUB_REPOSITORY", "")
        self._token = environ.get("EVALKIT_COMMENT_TOKEN", "")
        self._api = (environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")

    @property
    def is_usable(self) -> bool:
        """Whether the environment names a repository and has a token."""
        return bool(self._token and _REPOSITORY.fullmatch(self._repository))

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return its reply.

        Raises:
            RequestFailed: it was refused, or the reply is not JSON.
        """
        request = urllib.request.Request(  # noqa: S310 - the runner sets the address
            f"{self._api}/repos/{self._repository}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": "evalkit-action",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RequestFailed(f"{method} {path}: HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            raise RequestFailed(f"{method} {path}: {type(error).__name__}") from error

    def _read_pages(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _MAX_PAGES + 1):
            found = self.request("GET", f"{path}?per_page={_PAGE}&page={page}")
            yield from found
            if len(found) < _PAGE:
                return

    def find_comments(self, number: int) -> list[Comment]:
        """Return the comments of bots and trusted authors; anybody else could copy a marker."""
        return [
            Comment(each["id"], each.get("body") or "")  # a deleted account is no user
            for each in self._read_pages(f"issues/{number}/comments")
            if (each["user"] or {}).get("type") == "Bot"
            or each.get("author_association") in TRUSTED_ASSOCIATIONS
        ]

    def write_comment(self, number: int, body: str, replaced: Comment | None) -> None:
        """Create a comment, or replace one."""
        if replaced is None:
            self.request("POST", f"issues/{number}/comments", {"body": body})
        elif replaced.body != body:
            self.request("PATCH", f"issues/comments/{replaced.id}", {"body": body})

    def find_labeling(self, number: int, label: str) -> dict[str, Any] | None:
        """Return the event that applied a label, if the label is still there."""
        last = None
        for event in self._read_pages(f"issues/{number}/events"):
            if event.get("event") in ("labeled", "unlabeled") and event["label"]["name"] == label:
                last = event
        return last if last is not None and last["event"] == "labeled" else None

    def read_first_jobs(self, run: str) -> list[dict[str, Any]]:
        """Return all jobs of the first attempt of a workflow run.

        Raises:
            RequestFailed: there are more than can be read.
        """
        jobs: list[dict[str, Any]] = []
        for page in range(1, _MAX_PAGES + 1):
            path = f"actions/runs/{run}/attempts/1/jobs?per_page={_PAGE}&page={page}"
            found = self.request("GET", path)["jobs"]
            jobs += found
            if len(found) < _PAGE:
                return jobs
        raise RequestFailed(f"run {run} has more than {len(jobs)} jobs")

    def read_result_times(self, sha: str) -> list[str]:
        """Return when evalkit set the status of a commit to a result that did not pass, the first time first."""
        return sorted(
            each["created_at"]
            for each in self._read_pages(f"commits/{sha}/statuses")
            if each["context"].startswith("evalkit/") and each["state"] in ("failure", "error")
        )

    def read_role(self, login: str) -> str:
        """Return a person's role in the repository."""
        found = self.request("GET", f"collaborators/{quote(login, safe='')}/permission")
        return str(found.get("role_name") or found.get("permission", ""))


def find_pull(environ: Mapping[str, str], github: GitHub) -> Pull | None:
    """Return the pull request of this job, if its head still is the commit of this job.

    The action passes number, branch, and commit from the event. A job of an older commit must not replace
    what a job of a newer one said.

    Raises:
        RequestFailed: the API did not answer.
    """
    sha, number = environ.get("EVALKIT_HEAD", ""), environ.get("EVALKIT_PULL", "")
    if not _SHA.fullmatch(sha):
        return None
    if number.isdecimal():
        found = [github.request("GET", f"pulls/{number}")]
    else:
        owner, branch = environ.get("EVALKIT_OWNER", ""), environ.get("EVALKIT_BRANCH", "")
        head = quote(f"{owner}:{branch}", safe="")
        path = f"pulls?state=open&head={head}"
        found = github.request("GET", path) if owner and branch else []
    numbers = (each["number"] for each in found if each["head"]["sha"] == sha)
    return next((Pull(number, sha) for number in numbers), None)
