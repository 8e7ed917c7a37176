"""Find in the environment which CI system runs a build, and which branch or commit its change targets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.known_systems import (
    GITHUB_BASE_SHA,
    GITHUB_DEFAULT_BRANCH,
    GITHUB_ISSUE_PULL,
    SYSTEMS,
    UNKNOWN_SYSTEM,
    CISystem,
)
from evalkit.core.errors import EvalkitError
from evalkit.core.files import read_stored_file
from evalkit.core.literals import Json

_MERGE_QUEUE = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-\d+-([0-9a-f]{40,64})")
_PROPERTY = re.compile(r"\\(.)")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRef:
    """A name of the base, and where it was found: an option or an environment variable.

    With `is_branch`, it is the bare name of a branch in the remote of `repository`; empty for the branch
    that is the default there. Otherwise, it is a ref or a commit. With `prefers_remote`, a branch of the
    remote comes before a local one: only people have local branches.
    """

    name: str
    found_in: str
    is_branch: bool = False
    repository: str = ""
    prefers_remote: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A build of a CI system: the base of its change, if it is of one.

    `is_side_branch` is set if the built branch is known not to be the default one.
    """

    system: CISystem
    is_change: bool = False
    is_side_branch: bool = False
    base: BaseRef | None = None


def find_build(environ: Mapping[str, str]) -> Build | None:
    """Return the build that an environment describes; None outside of CI.

    >>> find_build({"DRONE": "true", "DRONE_BUILD_EVENT": "pull_request", "DRONE_TARGET_BRANCH": "main"}).base.name
    'main'
    """
    facts = {**environ, **_read_event(environ), **_read_teamcity_properties(environ)}
    builds = [_describe(system, facts) for system in SYSTEMS if _is_set(facts, system.marker)]
    # Without its marker, a variable that only one system sets in pull requests is still believed.
    builds += [
        build
        for build in (_describe(system, facts) for system in SYSTEMS)
        if build.base is not None and build.base.found_in in build.system.change
    ]
    builds += [Build(system=UNKNOWN_SYSTEM)] if _is_set(facts, "CI") else []
    # One system may start another, whose variables then are inherited: prefer what names a base.
    ranked = sorted(builds, key=lambda build: (build.base is None, not build.is_change))
    return ranked[0] if ranked else None


def _describe(system: CISystem, facts: Mapping[str, str]) -> Build:
    if any(_is_set(facts, condition) for condition in system.change):
        return Build(system=system, is_change=True, base=_find_base(system, facts))
    built = facts.get(system.built, "").removeprefix("refs/heads/")
    default = "" if built.startswith("refs/") else facts.get(system.default, "")
    return Build(system=system, is_side_branch=bool(built and default and built != default))


def _is_set(facts: Mapping[str, str], condition: str) -> bool:
    name, equals, values = condition.partition("=")
    value = facts.get(name, "")
    if equals:
        return value in values.split("|")
    return value.lower() not in ("", "0", "false")


def _find_base(system: CISystem, facts: Mapping[str, str]) -> BaseRef:
    """Return the base that a system names for a change, else the default branch of the remote."""
    for name in system.commits:
        if sha := facts.get(name, ""):
            return BaseRef(name=sha, found_in=name)
    repository = facts.get(system.repository, "")
    for name in system.branches:
        if branch := facts.get(name, "").removeprefix("refs/heads/"):
            return BaseRef(name=branch, found_in=name, is_branch=True, repository=repository)
    return BaseRef(name="", found_in=system.name, is_branch=True, repository=repository)


def _read_event(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the variables of GitHub leave out: the base of a merge group, the default branch."""
    facts = {}
    if environ.get("GITHUB_EVENT_NAME") == "merge_group":
        # GitHub names the ref of a merge group after the commit it is based on.
        match = _MERGE_QUEUE.fullmatch(environ.get("GITHUB_REF", ""))
        facts[GITHUB_BASE_SHA] = match[1] if match else ""
    path = environ.get("GITHUB_EVENT_PATH", "")
    try:
        event = json.loads(read_stored_file(Path(path))) if path else {}
    except (ValueError, EvalkitError):
        return facts
    base_sha = _get_text(event, "merge_group", "base_sha")
    facts[GITHUB_BASE_SHA] = facts.get(GITHUB_BASE_SHA) or base_sha
    facts[GITHUB_DEFAULT_BRANCH] = _get_text(event, "repository", "default_branch")
    facts[GITHUB_ISSUE_PULL] = _get_text(event, "issue", "pull_request", "url")
    return facts


def _get_text(value: Json, *keys: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _read_teamcity_properties(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a TeamCity build, which are in a file that another file names."""
    facts: dict[str, str] = {}
    path = environ.get("TEAMCITY_BUILD_PROPERTIES_FILE", "")
    for _ in range(2):
        facts |= dict(_read_properties(path))
        path = facts.get("teamcity.configuration.properties.file", "")
    return {key: value for key, value in facts.items() if key.startswith("teamcity.pullRequest.")}


def _read_properties(path: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a Java properties file; nothing if it cannot be read."""
    try:
        text = read_stored_file(Path(path)).decode("latin-1") if path else ""
    except EvalkitError:
        return
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            yield _PROPERTY.sub(r"\1", key.strip()), _PROPERTY.sub(r"\1", value.strip())
