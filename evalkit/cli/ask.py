"""evalkit ask: collect the agent's answers without scoring them."""

from __future__ import annotations

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    AgentOption,
    AgentVersionOption,
    ConcurrencyOption,
    EvalSetArgument,
    FixedTrialsOption,
    RunIdOption,
)


def ask(
    evalset: EvalSetArgument,
    trials: FixedTrialsOption = None,
    concurrency: ConcurrencyOption = None,
    agent: AgentOption = None,
    agent_version: AgentVersionOption = None,
    run_id: RunIdOption = None,
) -> None:
    """Ask the agent only; score and decide nothing."""
    from evalkit.commands.ask import ask as collect
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.init import stored_answers_text
    from evalkit.runner.records import RunOptions, RunRequest

    order = RunRequest(
        path=evalset,
        entrypoint=agent,
        needs_scores=False,
        overrides=SettingsOverrides(trials=trials, concurrency=concurrency),
    )
    run = collect(order, RunOptions(agent_version=agent_version, run_id=run_id), create_context())
    emit(stored_answers_text(run, detect_screen()))
