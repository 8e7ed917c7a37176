"""Recognize CI systems from the environment alone."""

from __future__ import annotations

from collections.abc import Mapping

CI_MARKERS = (
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "TF_BUILD",
    "BITBUCKET_BUILD_NUMBER",
    "BUILDKITE",
    "CIRCLECI",
    "TRAVIS",
    "DRONE",
    "APPVEYOR",
    "CF_BUILD_ID",
    "SEMAPHORE",
    "TEAMCITY_VERSION",
)
"""Variables that CI systems set in every build: most set `CI`, Azure Pipelines and TeamCity do not."""


def is_ci(environ: Mapping[str, str]) -> bool:
    """Return whether a CI system runs this process.

    >>> is_ci({"TF_BUILD": "True"}), is_ci({"CI": "false"})
    (True, False)
    """
    values = (environ.get(name, "").strip().lower() for name in CI_MARKERS)
    return any(value not in ("", "0", "false", "no") for value in values)
