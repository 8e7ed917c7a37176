"""The code hosts that evalkit posts to. A row per host; the environment of its CI system selects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.hosts.azure import find_azure_pull_request, find_azure_sha
from evalkit.hosts.bitbucket import find_bitbucket_pull_request, find_bitbucket_sha
from evalkit.hosts.comments import PullRequestHost
from evalkit.hosts.github import find_github_pull_request, find_github_sha
from evalkit.hosts.gitlab import find_gitlab_merge_request, find_gitlab_sha

_Find: TypeAlias = Callable[[Mapping[str, str], int | None], PullRequestHost | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownHost:
    """A code host, what its CI system sets, and what its comments may contain.

    `find` returns the pull request that an environment describes. `marker` is a variable that is set in
    builds of a repository on this host, to `value` if that is not empty. `build` names the variables that,
    joined, are the URL of a build, and `find_sha` returns the commit that is built. `max_bytes` is the longest comment; `has_html` says whether Markdown there
    supports HTML elements, and `has_checks` whether there are check runs.
    """

    name: str
    request: str = "pull request"
    marker: str
    value: str = ""
    find: _Find
    find_sha: Callable[[Mapping[str, str]], str]
    build: tuple[str, ...] = ()
    max_bytes: int
    has_html: bool = True
    has_checks: bool = False

    def build_url(self, environ: Mapping[str, str]) -> str:
        """Return the URL of the build that an environment describes; empty if it names none."""
        return "".join(environ.get(part, "" if part.isupper() else part) for part in self.build)


GITHUB = KnownHost(
    name="GitHub",
    marker="GITHUB_ACTIONS",
    find=find_github_pull_request,
    find_sha=find_github_sha,
    build=("GITHUB_SERVER_URL", "/", "GITHUB_REPOSITORY", "/actions/runs/", "GITHUB_RUN_ID"),
    max_bytes=65_536,
    has_checks=True,
)
HOSTS = (
    GITHUB,
    KnownHost(
        name="GitLab",
        request="merge request",
        marker="GITLAB_CI",
        find=find_gitlab_merge_request,
        find_sha=find_gitlab_sha,
        build=("CI_JOB_URL",),
        max_bytes=1_000_000,
    ),
    # Azure Pipelines builds repositories of other hosts, too.
    KnownHost(
        name="Azure DevOps",
        marker="BUILD_REPOSITORY_PROVIDER",
        value="TfsGit",
        find=find_azure_pull_request,
        find_sha=find_azure_sha,
        build=(
            "SYSTEM_COLLECTIONURI",
            "SYSTEM_TEAMPROJECTID",
            "/_build/results?buildId=",
            "BUILD_BUILDID",
        ),
        max_bytes=150_000,
    ),
    KnownHost(
        name="Bitbucket",
        marker="BITBUCKET_BUILD_NUMBER",
        find=find_bitbucket_pull_request,
        find_sha=find_bitbucket_sha,
        build=("BITBUCKET_GIT_HTTP_ORIGIN", "/pipelines/results/", "BITBUCKET_BUILD_NUMBER"),
        max_bytes=32_768,
        has_html=False,
    ),
)


def choose_host(environ: Mapping[str, str]) -> KnownHost:
    """Return the host whose CI system runs this process; GitHub if none is known.

    >>> choose_host({"GITLAB_CI": "true"}).name
    'GitLab'
    """
    for host in HOSTS:
        found = environ.get(host.marker, "")
        if found == host.value if host.value else found:
            return host
    return GITHUB
