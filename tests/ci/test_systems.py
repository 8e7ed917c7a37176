"""Every CI system that evalkit knows says which branch or commit a change targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.ci.known_systems import SYSTEMS, UNKNOWN_SYSTEM
from evalkit.ci.systems import BaseRef, Build, find_build
from evalkit.core.ci_markers import is_ci

SHA, OTHER_SHA = "a" * 40, "b" * 40

CHANGES: dict[str, tuple[dict[str, str], str]] = {
    "GitHub Actions": ({"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}, "main"),
    "GitLab CI": (
        {
            "GITLAB_CI": "true",
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "release/1",
        },
        "release/1",
    ),
    "Jenkins": (
        {"JENKINS_URL": "http://ci", "CHANGE_ID": "7", "CHANGE_TARGET": "release/1"},
        "release/1",
    ),
    "Azure Pipelines": (
        {
            "TF_BUILD": "True",
            "BUILD_REASON": "PullRequest",
            "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main",
        },
        "main",
    ),
    "Bitbucket Pipelines": (
        {
            "BITBUCKET_BUILD_NUMBER": "1",
            "BITBUCKET_PR_ID": "7",
            "BITBUCKET_PR_DESTINATION_BRANCH": "main",
        },
        "main",
    ),
    "Buildkite": (
        {
            "BUILDKITE": "true",
            "BUILDKITE_PULL_REQUEST": "7",
            "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main",
        },
        "main",
    ),
    # CircleCI names the request only, so the base is the default branch of the remote.
    "CircleCI": ({"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://example.org/pull/7"}, ""),
    "Travis CI": ({"TRAVIS": "true", "TRAVIS_PULL_REQUEST": "7", "TRAVIS_BRANCH": "main"}, "main"),
    "Drone": (
        {"DRONE": "true", "DRONE_BUILD_EVENT": "pull_request", "DRONE_TARGET_BRANCH": "main"},
        "main",
    ),
    "Woodpecker": (
        {
            "CI": "woodpecker",
            "CI_PIPELINE_EVENT": "pull_request",
            "CI_COMMIT_TARGET_BRANCH": "main",
        },
        "main",
    ),
    "AppVeyor": (
        {"APPVEYOR": "True", "APPVEYOR_PULL_REQUEST_NUMBER": "7", "APPVEYOR_REPO_BRANCH": "main"},
        "main",
    ),
    "Codefresh": (
        {"CF_BUILD_ID": "1", "CF_PULL_REQUEST_NUMBER": "7", "CF_PULL_REQUEST_TARGET": "main"},
        "main",
    ),
    "Semaphore": (
        {
            "SEMAPHORE": "true",
            "SEMAPHORE_GIT_REF_TYPE": "pull-request",
            "SEMAPHORE_GIT_BRANCH": "main",
        },
        "main",
    ),
    "TeamCity": (
        {"TEAMCITY_VERSION": "2025.11", "TEAMCITY_PULLREQUEST_TARGET_BRANCH": "refs/heads/main"},
        "main",
    ),
    "AWS CodeBuild": (
        {
            "CODEBUILD_BUILD_ID": "1",
            "CODEBUILD_WEBHOOK_EVENT": "PULL_REQUEST_UPDATED",
            "CODEBUILD_WEBHOOK_BASE_REF": "refs/heads/main",
        },
        "main",
    ),
    "Cirrus CI": (
        {"CIRRUS_CI": "true", "CIRRUS_PR": "7", "CIRRUS_BASE_BRANCH": "main"},
        "main",
    ),
    "Bitrise": (
        {
            "BITRISE_IO": "true",
            "BITRISE_PULL_REQUEST": "7",
            "BITRISEIO_GIT_BRANCH_DEST": "main",
        },
        "main",
    ),
    "Prow": ({"PROW_JOB_ID": "1", "PULL_NUMBER": "7", "PULL_BASE_REF": "main"}, "main"),
}

PUSHES: dict[str, dict[str, str]] = {
    "GitHub Actions": {"GITHUB_EVENT_NAME": "push", "GITHUB_BASE_REF": ""},
    "GitLab CI": {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"},
    "Buildkite": {"BUILDKITE_PULL_REQUEST": "false", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": ""},
    "Travis CI": {"TRAVIS_PULL_REQUEST": "false", "TRAVIS_BRANCH": "main"},
    "Drone": {"DRONE_BUILD_EVENT": "push", "DRONE_TARGET_BRANCH": "main"},
    "Woodpecker": {"CI_PIPELINE_EVENT": "push", "CI_COMMIT_TARGET_BRANCH": ""},
    "AppVeyor": {"APPVEYOR_REPO_BRANCH": "main"},
    # Prow sets the branch in builds of a push, too.
    "Prow": {"PULL_NUMBER": "", "PULL_BASE_REF": "main"},
    "Semaphore": {"SEMAPHORE_GIT_REF_TYPE": "branch", "SEMAPHORE_GIT_BRANCH": "main"},
}


def build_of(environ: dict[str, str]) -> Build:
    build = find_build(environ)
    assert build is not None
    return build


def base_of(environ: dict[str, str]) -> BaseRef:
    base = build_of(environ).base
    assert base is not None
    return base


def test_every_system_is_tried_here() -> None:
    assert set(CHANGES) == {system.name for system in SYSTEMS}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_has_the_target_that_its_system_names(name: str) -> None:
    environ, branch = CHANGES[name]
    build = build_of({**environ, "CI": environ.get("CI", "true")})
    assert (build.system.name, build.is_change) == (name, True)
    assert build.base is not None
    assert (build.base.name, build.base.is_branch) == (branch, True)
    assert build.base.found_in in {**environ, name: ""}


@pytest.mark.parametrize("name", CHANGES)
def test_a_push_is_no_change(name: str) -> None:
    [system] = [each for each in SYSTEMS if each.name == name]
    marker, _, value = system.marker.partition("=")
    build = build_of({"CI": "true", marker: value or "true", **PUSHES.get(name, {})})
    assert (build.system.name, build.is_change, build.base) == (name, False, None)
    assert not build.is_side_branch


@pytest.mark.parametrize(
    "environ",
    [
        {"GITHUB_BASE_REF": "main"},
        {"CHANGE_TARGET": "main"},
        {"SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main"},
        {"BITBUCKET_PR_DESTINATION_BRANCH": "main"},
        {"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main"},
        # One system in a job of another.
        {"GITLAB_CI": "true", "CI": "true", **CHANGES["Jenkins"][0], "CHANGE_TARGET": "main"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_a_variable_of_pull_requests_only_needs_no_marker(environ: dict[str, str]) -> None:
    assert base_of(environ).name == "main"


def test_gitlab_names_the_commit_of_the_merged_result_before_that_of_the_fork_point() -> None:
    environ = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_DIFF_BASE_SHA": SHA}
    assert base_of(environ) == BaseRef(name=SHA, found_in="CI_MERGE_REQUEST_DIFF_BASE_SHA")
    environ["CI_MERGE_REQUEST_TARGET_BRANCH_SHA"] = OTHER_SHA
    assert base_of(environ).name == OTHER_SHA


def test_a_merge_group_of_github_is_based_on_the_commit_that_its_ref_or_its_event_names(
    tmp_path: Path,
) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "merge_group"}
    ref = f"refs/heads/gh-readonly-queue/release/1/pr-7-{SHA}"
    assert base_of({**environ, "GITHUB_REF": ref}).name == SHA
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"merge_group": {"base_sha": OTHER_SHA}}))
    assert base_of({**environ, "GITHUB_EVENT_PATH": str(event)}).name == OTHER_SHA
    # A branch may have such a name, too, but only GitHub makes the event.
    pushed = {**environ, "GITHUB_REF": ref, "GITHUB_EVENT_NAME": "push"}
    assert not build_of(pushed).is_change


def test_a_comment_on_a_pull_request_is_of_a_change_whatever_the_event_leaves_out(
    tmp_path: Path,
) -> None:
    event = tmp_path / "event.json"
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "issue_comment",
        "GITHUB_EVENT_PATH": str(event),
    }
    event.write_text(json.dumps({"issue": {"pull_request": {"url": "https://example.org/7"}}}))
    assert build_of(environ).is_change
    event.write_text(json.dumps({"issue": {"number": 7}}))
    assert not build_of(environ).is_change
    event.write_text("[]")
    assert not build_of(environ).is_change
    event.write_text("{")
    assert not build_of(environ).is_change


def test_teamcity_keeps_the_target_in_the_file_of_its_parameters(tmp_path: Path) -> None:
    build, parameters = tmp_path / "build.properties", tmp_path / "parameters.properties"
    build.write_text(f"#made\nteamcity.configuration.properties.file={parameters}\n")
    parameters.write_text(
        "teamcity.pullRequest.number=7\nteamcity.pullRequest.target.branch=refs/heads/release\\:1\n"
    )
    environ = {"TEAMCITY_VERSION": "1", "TEAMCITY_BUILD_PROPERTIES_FILE": str(build)}
    assert base_of(environ).name == "release:1"
    parameters.unlink()
    assert not build_of(environ).is_change


@pytest.mark.parametrize(
    ("environ", "is_side"),
    [
        ({"GITLAB_CI": "1", "CI_COMMIT_BRANCH": "x", "CI_DEFAULT_BRANCH": "main"}, True),
        ({"GITLAB_CI": "1", "CI_COMMIT_TAG": "v1", "CI_DEFAULT_BRANCH": "main"}, False),
        ({"DRONE": "1", "DRONE_BRANCH": "x", "DRONE_REPO_BRANCH": "main"}, True),
    ],
)
def test_a_branch_that_is_not_the_default_one_is_known(
    environ: dict[str, str], is_side: bool
) -> None:
    assert build_of(environ).is_side_branch is is_side


def test_outside_of_ci_there_is_no_build_and_an_unknown_system_is_one() -> None:
    assert find_build({"CI": "false"}) is None
    assert find_build({}) is None
    build = build_of({"CI": "1"})
    assert (build.system.name, build.base) == ("this CI system", None)


def test_every_system_and_an_unknown_one_is_a_ci_for_what_the_store_believes() -> None:
    markers = {system.marker for system in (*SYSTEMS, UNKNOWN_SYSTEM)}
    for marker in markers:
        name, _, text = marker.partition("=")
        assert is_ci({name: text or "1"}), marker
    assert not is_ci({"CI": "false", "TF_BUILD": ""})
