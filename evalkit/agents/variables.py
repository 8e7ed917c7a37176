"""An agent's arguments to the environment variables and the hosts that it names, and which it may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evalkit.agents.http_headers import find_variables
from evalkit.core.eval_set import AgentSpec
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.values import iter_texts
from evalkit.worker.environment import is_withheld

URL_ARGUMENTS = ("url", "base_url")
EXPANDED_ARGUMENTS = (*URL_ARGUMENTS, "headers", "session")
"""The arguments of agents and judges in which `${NAME}` is an environment variable."""

KEY_ARGUMENT = "api_key_env"

_DEFAULT_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
_DEFAULT_URLS = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}
_SHORTHANDS = {"http": "url"}


class NamedVariable(NamedTuple):
    """A variable, and the key of the set that names it."""

    name: str
    key: str


def list_variables(spec: AgentSpec | JudgeSpec) -> tuple[NamedVariable, ...]:
    """Return the environment variables that an agent or judge gets by its section."""
    arguments = _name_arguments(spec)
    found = [NamedVariable(name, "env") for name in getattr(spec, "env", ())]
    for key in EXPANDED_ARGUMENTS:
        names = find_variables(iter_texts(arguments.get(key)))
        found += [NamedVariable(name, key) for name in names]
    name = arguments.get(KEY_ARGUMENT) or _DEFAULT_KEYS.get(spec.kind)
    if isinstance(name, str):
        found.append(NamedVariable(name, KEY_ARGUMENT))
    return tuple(dict.fromkeys(found))


def list_hosts(spec: AgentSpec | JudgeSpec) -> tuple[str, ...]:
    """Return the hosts that an agent or judge is called at by its section, with ports."""
    arguments = _name_arguments(spec)
    urls = [arguments[key] for key in URL_ARGUMENTS if arguments.get(key)]
    urls = urls or [url for url in [_DEFAULT_URLS.get(spec.kind)] if url]
    return tuple(_split_host(url) for url in urls if isinstance(url, str))


def find_withheld_variables(spec: AgentSpec) -> Iterator[str]:
    """Yield a message for each variable of the CI job, or of evalkit's judge, that an agent would be sent.

    The kinds that pass `env` on check that themselves.
    """
    for name, key in list_variables(spec):
        if key != "env" and is_withheld(name):
            yield f"environment variable {name!r} is never sent to an agent. Remove it from '{key}'."


def find_judge_variables(spec: AgentSpec, judges: Sequence[JudgeSpec]) -> Iterator[str]:
    """Yield a message for each variable of an agent that has the key of a judge.

    An agent at the host of the judge may have it, because that host has it already. A key that neither
    names, such as the usual one of a provider, may also be under `env`.
    """
    for judge in judges:
        given = set(_list_given_names(judge))
        names = {variable.name for variable in list_variables(judge)}
        shares_host = set(_list_machines(spec)) <= set(_list_machines(judge))
        for name, key in list_variables(spec):
            if name not in (given if key == "env" else names) or is_withheld(name):
                continue
            if key == "env" or not shares_host:
                yield (
                    f"environment variable {name!r} is the key of the judge, which could answer for the "
                    f"agent. Remove it from '{key}', or give the judge a key of its own: "
                    f"api_key_env: EVALKIT_JUDGE_KEY"
                )


def _list_given_names(judge: JudgeSpec) -> Iterator[str]:
    implied = None if KEY_ARGUMENT in judge.args else _DEFAULT_KEYS.get(judge.kind)
    return (each.name for each in list_variables(judge) if each.name != implied)


def _list_machines(spec: AgentSpec | JudgeSpec) -> Iterator[str]:
    """Yield the hosts without their ports."""
    return (re.sub(r":\d+$", "", host) for host in list_hosts(spec))


def _split_host(url: str) -> str:
    """Return host and port. `network_errors` could do it, but loads aiohttp."""
    return (
        re.split(r"[/?#]", url.partition("://")[2] or url, maxsplit=1)[0].rpartition("@")[2].lower()
    )


def _name_arguments(spec: AgentSpec | JudgeSpec) -> Mapping[str, Json]:
    shorthand = _SHORTHANDS.get(spec.kind, "model")
    return {key or shorthand: value for key, value in spec.args.items()}
