"""Select the environment variables that a child process may see."""

from __future__ import annotations

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

WITHHELD_NAMES = frozenset(
    {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "EVALKIT_JUDGE_KEY",
        "EVALKIT_STORE_KEY",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "GITHUB_PATH",
        "GITHUB_STATE",
        "GITHUB_STEP_SUMMARY",
    }
)
"""The variables that no child ever gets: with them it could grade itself or act as the CI job."""


def build_child_environment(
    environ: Mapping[str, str], names: Sequence[str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables a child may see: the allow list, the user's own `names`, then `extra`.

    >>> build_child_environment({"PATH": "/bin", "GITHUB_TOKEN": "s3cret", "KEY": "k"}, ["KEY"])
    {'PATH': '/bin', 'KEY': 'k'}
    """
    wanted = (ALLOWED_NAMES | set(names)) - WITHHELD_NAMES
    selected = {
        name: value
        for name, value in environ.items()
        if name in wanted or name.startswith(ALLOWED_PREFIX)
    }
    return {**selected, **(extra or {})}


def find_name_problems(names: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return a message for each of the user's `names` that is unset, or never passed on."""
    problems = {
        name: "is never passed on to an agent. Remove it from `env`."
        if name in WITHHELD_NAMES
        else "is not set. Set it, or remove it from `env`."
        for name in names
        if name in WITHHELD_NAMES or name not in environ
    }
    return [f"environment variable {name!r} {problem}" for name, problem in problems.items()]
