"""The CI systems that evalkit knows, as their documentation describes their environments."""

from __future__ import annotations

from dataclasses import dataclass

GITHUB_BASE_SHA = "event merge_group.base_sha"
GITHUB_DEFAULT_BRANCH = "event repository.default_branch"
GITHUB_ISSUE_PULL = "event issue.pull_request"
TEAMCITY_TARGET = "teamcity.pullRequest.target.branch"
"""Names under which facts from the files of GitHub and TeamCity are kept next to the variables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CISystem:
    """A CI system, as its documentation describes its environment.

    `marker` is set in every build. `change` lists what is set only in builds of a pull or merge request,
    as `NAME`, or as `NAME=VALUE|VALUE` where only these values mean one. In such a build, `commits` hold
    the commit to compare with, `branches` the name of the target branch, and `repository` the name of the
    repository that the request targets. `built` is the branch that is built, `default` the main branch.
    """

    name: str
    marker: str
    change: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    repository: str = ""
    built: str = ""
    default: str = ""


SYSTEMS = (
    CISystem(
        name="GitHub Actions",
        marker="GITHUB_ACTIONS",
        change=(
            "GITHUB_BASE_REF",
            "GITHUB_EVENT_NAME=pull_request|pull_request_target|merge_group",
            "GITHUB_EVENT_NAME=pull_request_review|pull_request_review_comment",
            GITHUB_ISSUE_PULL,
        ),
        commits=(GITHUB_BASE_SHA,),
        branches=("GITHUB_BASE_REF",),
        repository="GITHUB_REPOSITORY",
        built="GITHUB_REF",
        default=GITHUB_DEFAULT_BRANCH,
    ),
    CISystem(
        name="GitLab CI",
        marker="GITLAB_CI",
        change=(
            "CI_MERGE_REQUEST_IID",
            "CI_MERGE_REQUEST_TARGET_BRANCH_SHA",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA",
            "CI_EXTERNAL_PULL_REQUEST_IID",
            "CI_PIPELINE_SOURCE=merge_request_event|external_pull_request_event",
        ),
        # The first one is set when GitLab tests the merged result.
        commits=(
            "CI_MERGE_REQUEST_TARGET_BRANCH_SHA",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA",
            "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA",
        ),
        branches=(
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
            "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME",
        ),
        repository="CI_MERGE_REQUEST_PROJECT_PATH",
        built="CI_COMMIT_BRANCH",
        default="CI_DEFAULT_BRANCH",
    ),
    CISystem(
        name="Jenkins",
        marker="JENKINS_URL",
        change=("CHANGE_ID", "CHANGE_TARGET", "ghprbPullId", "gitlabMergeRequestIid"),
        branches=("CHANGE_TARGET", "ghprbTargetBranch", "gitlabTargetBranch"),
        built="BRANCH_NAME",
    ),
    CISystem(
        name="Azure Pipelines",
        marker="TF_BUILD",
        change=(
            "SYSTEM_PULLREQUEST_PULLREQUESTID",
            "SYSTEM_PULLREQUEST_TARGETBRANCH",
            "BUILD_REASON=PullRequest",
        ),
        branches=("SYSTEM_PULLREQUEST_TARGETBRANCH", "SYSTEM_PULLREQUEST_TARGETBRANCHNAME"),
        repository="BUILD_REPOSITORY_NAME",
        built="BUILD_SOURCEBRANCHNAME",
    ),
    CISystem(
        name="Bitbucket Pipelines",
        marker="BITBUCKET_BUILD_NUMBER",
        change=("BITBUCKET_PR_ID", "BITBUCKET_PR_DESTINATION_BRANCH"),
        branches=("BITBUCKET_PR_DESTINATION_BRANCH",),
        repository="BITBUCKET_REPO_FULL_NAME",
        built="BITBUCKET_BRANCH",
    ),
    CISystem(
        name="Buildkite",
        marker="BUILDKITE",
        change=("BUILDKITE_PULL_REQUEST", "BUILDKITE_PULL_REQUEST_BASE_BRANCH"),
        branches=("BUILDKITE_PULL_REQUEST_BASE_BRANCH",),
        built="BUILDKITE_BRANCH",
        default="BUILDKITE_PIPELINE_DEFAULT_BRANCH",
    ),
    CISystem(
        name="CircleCI",
        marker="CIRCLECI",
        change=("CIRCLE_PULL_REQUEST", "CIRCLE_PULL_REQUESTS", "CIRCLE_PR_NUMBER"),
        built="CIRCLE_BRANCH",
    ),
    CISystem(
        name="Travis CI",
        marker="TRAVIS",
        change=("TRAVIS_PULL_REQUEST", "TRAVIS_EVENT_TYPE=pull_request"),
        branches=("TRAVIS_BRANCH",),
        repository="TRAVIS_REPO_SLUG",
        built="TRAVIS_BRANCH",
    ),
    CISystem(
        name="Drone",
        marker="DRONE",
        change=("DRONE_PULL_REQUEST", "DRONE_BUILD_EVENT=pull_request"),
        branches=("DRONE_TARGET_BRANCH", "DRONE_COMMIT_BRANCH"),
        repository="DRONE_REPO",
        built="DRONE_BRANCH",
        default="DRONE_REPO_BRANCH",
    ),
    CISystem(
        name="Woodpecker",
        marker="CI=woodpecker",
        change=(
            "CI_COMMIT_PULL_REQUEST",
            "CI_PIPELINE_EVENT=pull_request|pull_request_closed|pull_request_metadata",
            "CI_BUILD_EVENT=pull_request",
        ),
        branches=("CI_COMMIT_TARGET_BRANCH",),
        repository="CI_REPO",
        built="CI_COMMIT_BRANCH",
        default="CI_REPO_DEFAULT_BRANCH",
    ),
    CISystem(
        name="AppVeyor",
        marker="APPVEYOR",
        change=("APPVEYOR_PULL_REQUEST_NUMBER",),
        branches=("APPVEYOR_REPO_BRANCH",),
        repository="APPVEYOR_REPO_NAME",
        built="APPVEYOR_REPO_BRANCH",
    ),
    CISystem(
        name="Codefresh",
        marker="CF_BUILD_ID",
        change=("CF_PULL_REQUEST_NUMBER", "CF_PULL_REQUEST_ID", "CF_PULL_REQUEST_TARGET"),
        branches=("CF_PULL_REQUEST_TARGET",),
        built="CF_BRANCH",
    ),
    CISystem(
        name="Semaphore",
        marker="SEMAPHORE",
        change=("SEMAPHORE_GIT_PR_NUMBER", "SEMAPHORE_GIT_REF_TYPE=pull-request"),
        branches=("SEMAPHORE_GIT_BRANCH",),
        repository="SEMAPHORE_GIT_REPO_SLUG",
        built="SEMAPHORE_GIT_BRANCH",
    ),
    CISystem(
        name="TeamCity",
        marker="TEAMCITY_VERSION",
        change=(
            "teamcity.pullRequest.number",
            TEAMCITY_TARGET,
            "TEAMCITY_PULLREQUEST_TARGET_BRANCH",
        ),
        branches=(TEAMCITY_TARGET, "TEAMCITY_PULLREQUEST_TARGET_BRANCH"),
    ),
    CISystem(
        name="AWS CodeBuild",
        marker="CODEBUILD_BUILD_ID",
        change=(
            "CODEBUILD_WEBHOOK_EVENT=PULL_REQUEST_CREATED|PULL_REQUEST_UPDATED|PULL_REQUEST_REOPENED",
            "CODEBUILD_WEBHOOK_BASE_REF",
        ),
        branches=("CODEBUILD_WEBHOOK_BASE_REF",),
    ),
    CISystem(
        name="Cirrus CI",
        marker="CIRRUS_CI",
        change=("CIRRUS_PR",),
        branches=("CIRRUS_BASE_BRANCH",),
        repository="CIRRUS_REPO_FULL_NAME",
        built="CIRRUS_BRANCH",
        default="CIRRUS_DEFAULT_BRANCH",
    ),
    CISystem(
        name="Bitrise",
        marker="BITRISE_IO",
        change=("BITRISE_PULL_REQUEST",),
        branches=("BITRISEIO_GIT_BRANCH_DEST",),
        built="BITRISE_GIT_BRANCH",
    ),
    CISystem(
        name="Prow",
        marker="PROW_JOB_ID",
        change=("PULL_NUMBER",),
        branches=("PULL_BASE_REF",),
    ),
)
"""Every system whose builds evalkit knows. A row is data from the documentation of the system."""

UNKNOWN_SYSTEM = CISystem(name="this CI system", marker="CI")
