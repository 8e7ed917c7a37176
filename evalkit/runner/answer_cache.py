"""Reuse the answers of earlier runs (`--cache`), and say what that does not cover."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.agents.cached_agent import CachingAgent, KeptAnswers, compute_agent_key
from evalkit.agents.fingerprint import digest_sources
from evalkit.agents.inputs import InputVerifier
from evalkit.agents.project_files import MAX_FILES, ProjectFiles
from evalkit.agents.registry import Agent, describe_entrypoint
from evalkit.core.context import Context
from evalkit.core.eval_set import AgentSpec
from evalkit.evalset.project import Project
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.records import Plan, RunOptions
from evalkit.runner.redactor import build_redactor
from evalkit.store.cache import Cache, CacheTrust, cache_folder
from evalkit.store.seal import Seal

MAX_SHOWN_FILES = 3

_LOCAL_SERVER = re.compile(r"//(?:localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)(?:[:/]|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnFiles:
    """The files of the project that are no input: those that changed during runs, and reports."""

    changed: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerStore:
    """The caches of answers and of the files that are no input, and the files of the run's reports."""

    answers: Cache[KeptAnswers]
    own_files: Cache[OwnFiles]
    reports: tuple[Path, ...]


@contextmanager
def open_answer_store(options: RunOptions, project: Project) -> Iterator[AnswerStore | None]:
    """Open the caches of a run before any code under test starts; None if the run uses none.

    Raises:
        InvalidInput: the store's own key is too short.
        StoreError: something else has written to them meanwhile.
    """
    if not options.cache:
        yield None
        return
    trust = CacheTrust(seal=Seal(read_store_key(project.environ)))
    store = AnswerStore(
        answers=Cache(cache_folder(project.root, "outputs"), KeptAnswers, trust),
        own_files=Cache(cache_folder(project.root, "own-files"), OwnFiles, trust),
        reports=options.reports,
    )
    yield store
    store.answers.refuse_forged()
    store.own_files.refuse_forged()


@contextmanager
def open_answer_cache(
    agent: Agent, store: AnswerStore | None, plan: Plan, project: Project, context: Context
) -> Iterator[Agent]:
    """Yield the agent, with a cache if the run uses one; afterwards report the problems of the cache."""
    if store is None:
        yield agent
        return
    cache = store.answers
    verifier = InputVerifier(project.root)
    redact = build_redactor(plan.evalset, project.environ).redact_output
    entrypoint = describe_entrypoint(plan.agent)
    # The server on this machine is probably the one in this project.
    if plan.agent.kind == "command" or _LOCAL_SERVER.search(entrypoint):
        with _cover_project(plan, store, project) as (key, gaps):
            yield CachingAgent(agent, cache, key, verifier, gaps, redact=redact)
    else:
        # What a Python function reads is recorded call by call.
        code = "" if plan.agent.kind == "python" else digest_sources(plan.agent, plan.environment)
        key = compute_agent_key(plan.agent, code, project.environ)
        is_local = plan.agent.kind in ("python", "recorded")
        gaps = () if is_local else (f"changes of {entrypoint}",)
        yield CachingAgent(agent, cache, key, verifier, gaps, redact=redact)
    for warning in cache.warnings.values():
        context.say(f"warning: {warning}")


@contextmanager
def _cover_project(
    plan: Plan, store: AnswerStore, project: Project
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield a key that covers the files of the project, and what it does not cover.

    Reports, and files that change during a run, such as logs, are written rather than read: from then on,
    all runs leave them out.
    """
    read_by_evalkit = {plan.evalset.path, *(case.where.path for case in plan.evalset.cases)}
    excluded = [base / path for base in (project.root, project.cwd) for path in read_by_evalkit]
    excluded.append(plan.environment.set_folder / "baselines")
    files = ProjectFiles(project.root, project.environ, excluded)
    caller = compute_agent_key(plan.agent, "", project.environ)
    own = store.own_files.get(caller) or OwnFiles()
    reports = {project.relative(project.cwd / path) for path in store.reports}
    left_out = reports.union(own.reports, own.changed)
    gaps = [_describe_gap(plan.agent)]
    if not files.is_complete:
        gaps.append(f"more than {MAX_FILES:,} files of the project")
    if own.changed:
        gaps.append(f"{_join_names(own.changed)}, which changed during a run")
    yield compute_agent_key(plan.agent, files.digest(left_out), project.environ), tuple(gaps)
    changed = OwnFiles(
        changed=tuple(sorted({*own.changed, *files.list_changed()} - reports)),
        reports=tuple(sorted({*own.reports, *reports})),
    )
    if changed != own:
        store.own_files.put(caller, changed)


def _describe_gap(spec: AgentSpec) -> str:
    entrypoint = describe_entrypoint(spec)
    if spec.kind != "command":
        return f"changes of {entrypoint}"
    program = shlex.split(entrypoint)[0]
    return f"what {program} reads outside of the project or in folders that git ignores"


def _join_names(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN_FILES
    return ", ".join(names[:MAX_SHOWN_FILES]) + (f" and {more:,} more" if more > 0 else "")
