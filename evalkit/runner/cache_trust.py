"""Decide which cached verdicts and answers of earlier processes a command believes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from evalkit.agents.http_headers import find_variables
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.run import RunEnvironment
from evalkit.store.cache import Cache, CacheTrust, cache_folder
from evalkit.store.seal import MIN_KEY_CHARS, Seal

STORE_KEY = "EVALKIT_STORE_KEY"
"""The variable with a secret that seals what is cached. No child process ever gets it."""

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

_KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def open_verdict_cache(
    specs: Sequence[JudgeSpec], environment: RunEnvironment, agent: AgentSpec | None = None
) -> Cache[JudgeVote]:
    """Open the cache of verdicts of judges, before any code under test starts.

    Verdicts are sealed with the keys of the judges, except those that the agent gets.

    Raises:
        InvalidInput: the store's own key is too short.
    """
    trust = find_cache_trust(specs, environment, agent)
    return Cache(cache_folder(environment.root, "verdicts"), JudgeVote, trust)


def find_cache_trust(
    specs: Sequence[JudgeSpec], environment: RunEnvironment, agent: AgentSpec | None = None
) -> CacheTrust:
    """Return which cached verdicts of these judges count.

    Raises:
        InvalidInput: the store's own key is too short.
    """
    environ = environment.environ
    known = frozenset(agent.env) if agent else frozenset()
    keys = (*read_store_key(environ), *_find_judge_keys(specs, environ, known))
    return CacheTrust(seal=Seal(keys), requires_seal=is_ci(environ))


def is_ci(environ: Mapping[str, str]) -> bool:
    """Return whether a CI system runs this process."""
    values = (environ.get(name, "").strip().lower() for name in CI_MARKERS)
    return any(value not in ("", "0", "false", "no") for value in values)


def read_store_key(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the store's own key; empty if none is set.

    Raises:
        InvalidInput: it is too short.
    """
    key = environ.get(STORE_KEY, "")
    if key and len(key) < MIN_KEY_CHARS:
        raise InvalidInput.single(
            f"{STORE_KEY} has {len(key)} characters, so that it can be guessed. Set a random text of "
            f"at least {MIN_KEY_CHARS}, such as the output of: openssl rand -hex 32"
        )
    return (key,) if key else ()


def _find_judge_keys(
    specs: Sequence[JudgeSpec], environ: Mapping[str, str], known: Container[str]
) -> Iterator[str]:
    """Yield the values of the variables with which judges are called, except those in `known`."""
    for spec in specs:
        headers = spec.args.get("headers") or {}
        named = spec.args.get("api_key_env") or _KEY_VARIABLES.get(spec.kind, "")
        variables = [named, *find_variables(map(str, headers.values()))]
        yield from (environ[name] for name in variables if name in environ and name not in known)
