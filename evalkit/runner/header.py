"""Build the header of a run from its plan, before the first call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import msgspec

from evalkit import __version__
from evalkit.agents.fingerprint import digest_sources
from evalkit.agents.registry import describe_entrypoint
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.core.run import Run, RunHeader
from evalkit.core.serialization import digest
from evalkit.evalset.base_version import BaselineAgent, baseline_run_id
from evalkit.evalset.project import Project
from evalkit.runner.records import Plan, RunOptions, RunRequest
from evalkit.store.runs import RUN_SCHEMA, new_run_id


def build_run_header(
    plan: Plan, request: RunRequest, options: RunOptions, project: Project, context: Context
) -> RunHeader:
    """Return the header of a new run of a plan."""
    now, git = context.now(), project.git
    header = RunHeader(
        id=options.run_id or new_run_id(now, plan.evalset.name, context.token()),
        evalset=plan.evalset.name,
        evalset_path=project.relative(request.path),
        evalset_digest=plan.evalset.digest,
        cases=plan.cases,
        metrics=plan.metrics,
        gate=plan.gate,
        trials=plan.settings.first_trials,
        agent_kind=plan.agent.kind,
        agent_entrypoint=describe_entrypoint(plan.agent),
        agent_digest=digest([plan.agent.kind, plan.agent.args]),
        agent_version=options.agent_version or plan.agent.version or git.version,
        settings=msgspec.to_builtins(plan.settings),
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        git_commit=git.commit,
        git_dirty=git.dirty,
        source_digest=digest(
            [project.digest_edits(request.path), digest_sources(plan.agent, plan.agent_environment)]
        ),
        selection=str(plan.selection),
        shard=str(plan.selection.shard or ""),
        cases_in_set=len(plan.evalset.cases),
        base_commit=plan.base_commit,
        added=plan.added,
        against=request.baseline_agent.commit if request.baseline_agent else "",
        command=request.command,
        overrides=request.overrides.given(),
        budget=plan.budget,
        batch=options.batch,
    )
    return _with_version(header, request.agent_at, plan) if request.agent_at else header


def build_rescore_header(
    plan: Plan, source: Run, options: RunOptions, context: Context
) -> RunHeader:
    """Return the header of a run that scores the outputs of another run again.

    It contains the cases whose input has not changed; their labels may have changed.

    Raises:
        NothingSelected: there is no such case.
    """
    current = {case.id: case for case in plan.cases}
    cases = tuple(
        current[case.id]
        for case in source.header.cases
        if case.id in current
        and (current[case.id].input, current[case.id].metadata) == (case.input, case.metadata)
    )
    if not cases:
        raise NothingSelected(
            f"run {source.header.id}: in {plan.evalset.path}, the input of every case has changed or "
            f"the case is gone. Run the set again."
        )
    now = context.now()
    return replace(
        source.header,
        id=options.run_id or new_run_id(now, plan.evalset.name, context.token()),
        evalset_digest=plan.evalset.digest,
        cases=cases,
        metrics=plan.metrics,
        gate=plan.gate,
        settings=msgspec.to_builtins(plan.settings),
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        cases_in_set=len(plan.evalset.cases),
        base_commit=plan.base_commit,
        added=plan.added,
        scored_from=source.header.id,
        command="score",
        batch="",
        schema=RUN_SCHEMA,
    )


def build_baseline_run_header(header: RunHeader, version: BaselineAgent, plan: Plan) -> RunHeader:
    """Return the header of the same run with another version of the agent."""
    header = replace(header, id=baseline_run_id(header.id), fresh={}, against="")
    return _with_version(header, version, plan)


def _with_version(header: RunHeader, version: BaselineAgent, plan: Plan) -> RunHeader:
    """Return the header with the agent of another commit."""
    environment = version.adapt_environment(plan.environment)
    return replace(
        header,
        agent_kind=version.agent.kind,
        agent_entrypoint=describe_entrypoint(version.agent),
        agent_digest=digest([version.agent.kind, version.agent.args]),
        agent_version=version.agent.version or version.commit[:10],
        git_commit=version.commit,
        git_dirty=False,
        source_digest=digest(["", digest_sources(version.agent, environment)]),
    )
