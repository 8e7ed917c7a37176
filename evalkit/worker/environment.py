"""Select the environment variables that a child process may see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

ALLOWED_NAMES = frozenset(
    {
        # Programs, folders and the user.
        "HOME", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "USER",
        # Language, time zone, terminal.
        "COLORTERM", "FORCE_COLOR", "LANG", "LANGUAGE", "NO_COLOR", "TERM", "TZ",
        # The Python installation and its options.
        "CONDA_PREFIX", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONHOME",
        "PYTHONIOENCODING", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONPYCACHEPREFIX",
        "PYTHONUNBUFFERED", "PYTHONUSERBASE", "PYTHONUTF8", "PYTHONWARNINGS", "VIRTUAL_ENV",
        # Shared libraries and certificates, without which the programs above may not run.
        "CURL_CA_BUNDLE", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR", "SSL_CERT_FILE",
        # Folders of caches and configuration.
        "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    }
)  # fmt: skip
"""The variables that every child gets. None of them contains a credential. Proxy variables are
missing, because their URLs often contain one."""

ALLOWED_PREFIX = "LC_"

MARK_VARIABLE = "EVALKIT_CALL"
"""Set in the environment of every child; it identifies a daemonized grandchild."""

_WITHHELD = re.compile(
    r"EVALKIT_(?:JUDGE|STORE)_\w+"
    # GitHub and Gitea: tokens, the URLs that hand them out, and files that control the job.
    r"|(?:GITHUB|GH|GITEA|FORGEJO)(?:_ENTERPRISE)?_TOKEN|ACTIONS_\w*(?:TOKEN|_URL)"
    r"|GITHUB_(?:ENV|OUTPUT|PATH|STATE|STEP_SUMMARY)"
    # GitLab
    r"|CI_JOB_TOKEN|CI_JOB_JWT\w*|CI_(?:REGISTRY|DEPLOY|DEPENDENCY_PROXY)_PASSWORD|CI_REPOSITORY_URL"
    r"|(?:GITLAB|GL)_TOKEN"
    # Azure, Bitbucket, Buildkite, CircleCI, Drone, Woodpecker, Travis, TeamCity, Jenkins, and others
    r"|SYSTEM_ACCESSTOKEN|SYSTEM_OIDCREQUESTURI|BITBUCKET_\w*TOKEN\w*|BUILDKITE_\w*TOKEN"
    r"|CIRCLE_\w*TOKEN\w*|(?:DRONE|CI)_NETRC_PASSWORD|(?:DRONE|TRAVIS|SEMAPHORE|APPVEYOR)_\w*TOKEN"
    r"|TEAMCITY_AUTH_PASSWORD|JENKINS_(?:TOKEN|API_TOKEN)|CF_TOKEN|VAULT_TOKEN"
    # Registries of packages
    r"|(?:NPM|PYPI|NODE_AUTH|UV_PUBLISH|CARGO_REGISTRY|TESTPYPI|RUBYGEMS)_(?:\w*_)?TOKEN|NODE_AUTH_TOKEN"
    r"|(?:TWINE|UV_PUBLISH)_PASSWORD|(?:NPM_CONFIG|npm_config)_\w*auth\w*|POETRY_(?:PYPI_TOKEN|HTTP_BASIC)_\w+"
    r"|GEM_HOST_API_KEY|NUGET_API_KEY|DOCKER_(?:PASSWORD|AUTH_CONFIG)"
)
"""The variables that no child ever gets: with them it could grade itself or act as the CI job."""


def is_withheld(name: str) -> bool:
    """Return whether a variable is one that no agent may have: a judge's, or one of the CI job.

    >>> [name for name in ("MY_KEY", "CI_JOB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL") if is_withheld(name)]
    ['CI_JOB_TOKEN', 'ACTIONS_ID_TOKEN_REQUEST_URL']
    """
    return bool(_WITHHELD.fullmatch(name))


def build_child_environment(
    environ: Mapping[str, str], names: Sequence[str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables a child may see: the allow list, the user's own `names`, then `extra`.

    >>> build_child_environment({"PATH": "/bin", "GITHUB_TOKEN": "s3cret", "KEY": "k"}, ["KEY"])
    {'PATH': '/bin', 'KEY': 'k'}
    """
    wanted = ALLOWED_NAMES | {name for name in names if not is_withheld(name)}
    selected = {
        name: value
        for name, value in environ.items()
        if name in wanted or name.startswith(ALLOWED_PREFIX)
    }
    return {**selected, **(extra or {})}


def find_name_problems(names: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return a message for each of the user's `names` that is unset, or never passed on."""
    problems = {
        name: "is never passed on to an agent. Remove it from 'env'."
        if is_withheld(name)
        else "is not set. Set it, or remove it from `env`."
        for name in names
        if is_withheld(name) or name not in environ
    }
    return [f"environment variable {name!r} {problem}" for name, problem in problems.items()]
