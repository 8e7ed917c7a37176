"""evalkit ask: collect the agent's answers without scoring them."""

from __future__ import annotations

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.option_groups import AgentOptions, ResumeOptions
from evalkit.cli.options import (
    ConcurrencyOption,
    EvalSetArgument,
    FixedTrialsOption,
    MaxCostOption,
)
from evalkit.cli.output import refuse_conflicting_options


def ask(
    evalset: EvalSetArgument,
    agent: AgentOptions,
    resume: ResumeOptions,
    trials: FixedTrialsOption = None,
    concurrency: ConcurrencyOption = None,
    max_cost_usd: MaxCostOption = None,
) -> None:
    """Store the agent's answers without scoring them."""
    from evalkit.commands.ask import ask as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.init import stored_answers_text
    from evalkit.runner.records import RunRequest

    refuse_conflicting_options(resume.conflict)

    request = RunRequest(
        path=evalset,
        entrypoint=agent.agent,
        overrides=SettingsOverrides(
            trials=trials, concurrency=concurrency, max_cost_usd=max_cost_usd
        ),
    )
    run = command(request, resume.choose_run(agent.agent_version), create_context())
    emit(stored_answers_text(run, detect_screen()))
