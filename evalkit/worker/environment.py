"""Evalkit's own environment in, the allow-listed part of it that a child process gets out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ALLOWED_NAMES = frozenset(
    {
        # Where things are, and who is asking.
        "HOME", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "USER",
        # Language, time zone, terminal.
        "COLORTERM", "FORCE_COLOR", "LANG", "LANGUAGE", "NO_COLOR", "TERM", "TZ",
        # Which Python, and how it starts.
        "CONDA_PREFIX", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONHOME",
        "PYTHONIOENCODING", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONPYCACHEPREFIX",
        "PYTHONUNBUFFERED", "PYTHONUSERBASE", "PYTHONUTF8", "PYTHONWARNINGS", "VIRTUAL_ENV",
        # Shared libraries and certificates, without which the above may not run.
        "CURL_CA_BUNDLE", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR", "SSL_CERT_FILE",
        # Where caches and configuration live.
        "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    }
)  # fmt: skip
"""What a child gets without being asked. No credential lives under any of these names; proxies are
missing because their URLs often hold one."""

ALLOWED_PREFIX = "LC_"

WITHHELD_NAMES = frozenset(
    {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "EVALKIT_JUDGE_KEY",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "GITHUB_PATH",
        "GITHUB_STATE",
        "GITHUB_STEP_SUMMARY",
    }
)
"""What no child gets, asked for or not: with these it could grade itself or speak for the CI job."""


def build_child_environment(
    environ: Mapping[str, str], names: Sequence[str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Select what a child may see: the allow list, the user's own `names`, then `extra` on top.

    >>> child_environment({"PATH": "/bin", "GITHUB_TOKEN": "s3cret", "KEY": "k"}, ["KEY"])
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
    """Say which of the variables the user wants passed on are unset, or never passed on."""
    problems = []
    for name in names:
        if name in WITHHELD_NAMES:
            problems.append(
                f"environment variable {name!r} is never passed on to an agent. Remove it from `env`."
            )
        elif name not in environ:
            problems.append(
                f"environment variable {name!r} is not set. Set it, or remove it from `env`."
            )
    return problems
