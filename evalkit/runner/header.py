"""What a run sets out to do, written down before the first call: a plan as the header of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import msgspec

from evalkit import __version__
from evalkit.agents.fingerprint import digest_sources
from evalkit.agents.registry import describe_entrypoint
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.core.project import read_git_state, relative_to_root
from evalkit.core.run import Run, RunHeader
from evalkit.core.serialization import digest
from evalkit.evalset.base_version import BaselineAgent, baseline_run_id
from evalkit.runner.plan import Plan, RunRequest
from evalkit.runner.resume import RunOptions
from evalkit.store.runs import RUN_SCHEMA, new_run_id


def build_rescore_header(plan: Plan, source: Run, world: Context) -> RunHeader:
    """The header of a run that scores the outputs of another again.

    A case counts where the agent would be asked the same today; its label may be another.
    """
    today = {case.id: case for case in plan.cases}
    cases = [
        today[case.id]
        for case in source.header.cases
        if case.id in today
        and (today[case.id].input, today[case.id].metadata) == (case.input, case.metadata)
    ]
    if not cases:
        raise NothingSelected(
            f"run {source.header.id}: no case of it is asked like this in {plan.evalset.path} today."
        )
    now = world.now()
    return replace(
        source.header,
        id=new_run_id(now, plan.evalset.name, world.token()),
        evalset_digest=plan.evalset.digest,
        cases=tuple(cases),
        metrics=plan.metrics,
        gate=plan.gate,
        settings=msgspec.to_builtins(plan.settings),
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        cases_in_set=len(plan.evalset.cases),
        base_commit=plan.base_commit,
        added=plan.added,
        scored_from=source.header.id,
        schema=RUN_SCHEMA,
    )


def build_run_header(
    plan: Plan, order: RunRequest, choices: RunOptions, world: Context
) -> RunHeader:
    """The header of a new run of a plan."""
    root = plan.surroundings.root
    git = read_git_state(root, world.environ)
    now = world.now()
    return RunHeader(
        id=choices.run_id or new_run_id(now, plan.evalset.name, world.token()),
        evalset=plan.evalset.name,
        evalset_path=relative_to_root(root, order.path),
        evalset_digest=plan.evalset.digest,
        cases=plan.cases,
        metrics=plan.metrics,
        gate=plan.gate,
        trials=plan.settings.first_trials,
        agent_kind=plan.agent.kind,
        agent_entrypoint=describe_entrypoint(plan.agent),
        agent_digest=digest([plan.agent.kind, plan.agent.args]),
        agent_version=choices.agent_version or plan.agent.version or git.version,
        settings=msgspec.to_builtins(plan.settings),
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        git_commit=git.commit,
        git_dirty=git.dirty,
        source_digest=digest([git.diff_digest, digest_sources(plan.agent, plan.surroundings)]),
        selection=str(plan.selection),
        shard=str(plan.selection.shard or ""),
        cases_in_set=len(plan.evalset.cases),
        base_commit=plan.base_commit,
        added=plan.added,
        against=order.baseline_agent.commit if order.baseline_agent else "",
    )


def build_baseline_run_header(header: RunHeader, rival: BaselineAgent, plan: Plan) -> RunHeader:
    """The header of the same run of another version of the agent."""
    there = rival.adapt_environment(plan.surroundings)
    return replace(
        header,
        id=baseline_run_id(header.id),
        agent_kind=rival.agent.kind,
        agent_entrypoint=describe_entrypoint(rival.agent),
        agent_digest=digest([rival.agent.kind, rival.agent.args]),
        agent_version=rival.agent.version or rival.commit[:10],
        git_commit=rival.commit,
        git_dirty=False,
        source_digest=digest(["", digest_sources(rival.agent, there)]),
        fresh={},
        against="",
    )
