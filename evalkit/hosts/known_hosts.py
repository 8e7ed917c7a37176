"""The code hosts that evalkit posts to. A row per host; the environment of its CI system selects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.hosts.azure import find_azure_pull_request
from evalkit.hosts.bitbucket import find_bitbucket_pull_request
from evalkit.hosts.comments import PullRequestHost
from evalkit.hosts.github import find_github_pull_request
from evalkit.hosts.gitlab import find_gitlab_merge_request

Dialect: TypeAlias = Literal["html", "plain"]
"""The Markdown of a host: with the elements of HTML, or without any."""

_Find: TypeAlias = Callable[
    [Mapping[str, str], int | None, Sequence[float]], PullRequestHost | None
]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownHost:
    """A code host, the variable that its CI system sets, and what its comments may contain.

    `find` returns the pull request that an environment describes. `max_bytes` is the longest comment.
    """

    name: str
    marker: str
    find: _Find
    max_bytes: int
    dialect: Dialect = "html"


GITHUB = KnownHost(
    name="GitHub", marker="GITHUB_ACTIONS", find=find_github_pull_request, max_bytes=65_536
)
HOSTS = (
    GITHUB,
    KnownHost(
        name="GitLab", marker="GITLAB_CI", find=find_gitlab_merge_request, max_bytes=1_000_000
    ),
    KnownHost(
        name="Azure DevOps", marker="TF_BUILD", find=find_azure_pull_request, max_bytes=150_000
    ),
    KnownHost(
        name="Bitbucket",
        marker="BITBUCKET_BUILD_NUMBER",
        find=find_bitbucket_pull_request,
        max_bytes=32_768,
        dialect="plain",
    ),
)


def choose_host(environ: Mapping[str, str]) -> KnownHost:
    """Return the host whose CI system runs this process; GitHub if none is known.

    >>> choose_host({"GITLAB_CI": "true"}).name
    'GitLab'
    """
    return next((host for host in HOSTS if environ.get(host.marker)), GITHUB)
