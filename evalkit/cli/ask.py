"""evalkit ask: collect the agent's answers without scoring them."""

from __future__ import annotations

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.option_groups import AgentOptions
from evalkit.cli.options import (
    ConcurrencyOption,
    EvalSetArgument,
    FixedTrialsOption,
    MaxCostOption,
    RunIdOption,
)


def ask(
    evalset: EvalSetArgument,
    agent: AgentOptions,
    trials: FixedTrialsOption = None,
    concurrency: ConcurrencyOption = None,
    max_cost_usd: MaxCostOption = None,
    run_id: RunIdOption = None,
) -> None:
    """Store the agent's answers without scoring them."""
    from evalkit.commands.ask import ask as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.init import stored_answers_text
    from evalkit.runner.records import RunOptions, RunRequest

    request = RunRequest(
        path=evalset,
        entrypoint=agent.agent,
        needs_scores=False,
        overrides=SettingsOverrides(
            trials=trials, concurrency=concurrency, max_cost_usd=max_cost_usd
        ),
    )
    options = RunOptions(agent_version=agent.agent_version, run_id=run_id)
    emit(stored_answers_text(command(request, options, create_context()), detect_screen()))
