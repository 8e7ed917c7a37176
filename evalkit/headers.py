"""What a run sets out to do, written down before the first call: a plan as the header of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import msgspec

from evalkit import __version__
from evalkit.agents import entrypoint_of
from evalkit.agents.fingerprint import digest_sources
from evalkit.digest import digest
from evalkit.errors import NothingSelected
from evalkit.holding import Rival, rival_id
from evalkit.plan import Order, Plan
from evalkit.project import path_in, read_git_state
from evalkit.records import Run, RunHeader
from evalkit.resuming import Choices
from evalkit.store import RUN_SCHEMA, new_run_id
from evalkit.world import World


def describe_scoring(plan: Plan, source: Run, world: World) -> RunHeader:
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


def describe_run(plan: Plan, order: Order, choices: Choices, world: World) -> RunHeader:
    """The header of a new run of a plan."""
    root = plan.surroundings.root
    git = read_git_state(root, world.environ)
    now = world.now()
    return RunHeader(
        id=choices.run_id or new_run_id(now, plan.evalset.name, world.token()),
        evalset=plan.evalset.name,
        evalset_path=path_in(root, order.path),
        evalset_digest=plan.evalset.digest,
        cases=plan.cases,
        metrics=plan.metrics,
        gate=plan.gate,
        trials=plan.settings.first_trials,
        agent_kind=plan.agent.kind,
        agent_entrypoint=entrypoint_of(plan.agent),
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
        against=order.rival.commit if order.rival else "",
    )


def describe_rival(header: RunHeader, rival: Rival, plan: Plan) -> RunHeader:
    """The header of the same run of another version of the agent."""
    there = rival.surround(plan.surroundings)
    return replace(
        header,
        id=rival_id(header.id),
        agent_kind=rival.agent.kind,
        agent_entrypoint=entrypoint_of(rival.agent),
        agent_digest=digest([rival.agent.kind, rival.agent.args]),
        agent_version=rival.agent.version or rival.commit[:10],
        git_commit=rival.commit,
        git_dirty=False,
        source_digest=digest(["", digest_sources(rival.agent, there)]),
        fresh={},
        against="",
    )
