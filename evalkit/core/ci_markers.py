"""Recognize CI systems from the environment alone."""

from __future__ import annotations

from collections.abc import Mapping

CI_MARKERS = (
    "CI",
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
    "BITRISE_IO",
    "BUILDKITE",
    "CF_BUILD_ID",
    "CIRCLECI",
    "CIRRUS_CI",
    "CODEBUILD_BUILD_ID",
    "DRONE",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "PROW_JOB_ID",
    "SEMAPHORE",
    "TEAMCITY_VERSION",
    "TF_BUILD",
    "TRAVIS",
)
"""Variables of which at least one is set in every build of a CI system; Jenkins, Azure, and others set no `CI`."""


def is_ci(environ: Mapping[str, str]) -> bool:
    """Return whether a CI system runs this process.

    >>> is_ci({"TF_BUILD": "True"}), is_ci({"CI": "false"})
    (True, False)
    """
    values = (environ.get(name, "").strip().lower() for name in CI_MARKERS)
    return any(value not in ("", "0", "false", "no") for value in values)
