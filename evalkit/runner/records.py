"""The records of a run: the request, the plan and the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from evalkit.agents.cost_budget import CostBudget, RunCosts
from evalkit.core.eval_set import AgentSpec, Case, EvalSet, Rule
from evalkit.core.literals import RunCommand
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, Run, RunEnvironment, RunHeader
from evalkit.core.run_budget import RunBudget
from evalkit.core.settings import NO_OVERRIDES, Settings, SettingsOverrides
from evalkit.core.trial import Trial
from evalkit.evalset.base_version import BaselineAgent, BaseVersion
from evalkit.evalset.selection import Selection
from evalkit.judge.judge_panel import JudgePanel
from evalkit.metrics.scorers import Scorer

AGENT = "agent"
"""The name of the agent as a payer."""

IN_FLIGHT_PER_SLOT = 4
"""The number of trials in flight for each concurrent call of an agent or judge; further trials wait.

More than one, so that agents do not wait while a judge starts late or pauses.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What the user asked for: an eval set, a selection of its cases, and settings.

    `entrypoint` names a Python function to test in place of the set's agent. Without `needs_agent`
    the agent is never called and may be missing. Without `needs_scores` neither metrics nor judges
    are opened. With `base_version`, the cases, metrics, thresholds and settings that decide come from
    another commit. With `baseline_agent`, another version of the agent takes turns with this one. With
    `agent_at`, the agent of another commit is tested in place of the set's. `answers` are stored answers of
    the same agent to the same inputs: they are scored, and the agent is not called for them. `command` is
    the command that the user gave. `budget` limits the trials, and is None without a budget.
    """

    path: Path
    command: RunCommand = "run"
    entrypoint: str | None = None
    needs_agent: bool = True
    needs_scores: bool = True
    selection: Selection = field(default_factory=Selection)
    overrides: SettingsOverrides = NO_OVERRIDES
    base_version: BaseVersion | None = None
    baseline_agent: BaselineAgent | None = None
    agent_at: BaselineAgent | None = None
    answers: tuple[Trial, ...] = ()
    budget: RunBudget | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is stored and named, what it may reuse, and when it ends early.

    With `exit_first`, no trial starts after one that fails a deciding score. `reports` are the files
    that reports of the run will be written to. `batch` is the id of the command if it runs several sets.
    """

    agent_version: str | None = None
    run_id: str | None = None
    resume: bool = False
    retry_errors: bool = False
    cache: bool = False
    exit_first: bool = False
    batch: str = ""
    reports: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a run needs, checked before the first call.

    `agent_environment` differs from `environment` if the agent is that of another commit.
    """

    evalset: EvalSet
    cases: tuple[Case, ...]
    agent: AgentSpec
    gate: tuple[Rule, ...]
    settings: Settings
    selection: Selection
    scorers: Mapping[str, tuple[Scorer, ...]]
    metrics: tuple[MetricInfo, ...]
    environment: RunEnvironment
    agent_environment: RunEnvironment
    panel: JudgePanel
    costs: RunCosts = field(default_factory=RunCosts)
    base_commit: str = ""
    added: tuple[str, ...] = ()
    budget: RunBudget | None = None

    @property
    def agent_budget(self) -> CostBudget:
        """The budget of all calls of agents in the run."""
        return self.costs.open_budget(AGENT, AGENT, self.agent.max_cost_usd)

    @property
    def out_of_money(self) -> str:
        """Why the run may make no further call that it needs; empty while there is money."""
        down = self.panel.down_reason
        return self.agent_budget.refusal or (down if down in self.costs.refusals else "")

    @property
    def max_in_flight(self) -> int:
        """The number of trials that may be in flight at once."""
        judges = (judge.concurrency for judge in self.evalset.judges)
        return IN_FLIGHT_PER_SLOT * max(self.settings.concurrency, *judges, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """The run so far, and what ended it early.

    `stopped_by` is a signal number. `out_of_money` says which cost limit is reached.
    `unscored_answers` counts the stored outputs without scores.
    """

    run: Run
    plan: Plan
    baseline: Run | None = None
    stopped_by: int | None = None
    stopped_at_failure: bool = False
    unreachable: bool = False
    out_of_money: str = ""
    judge_down: str = ""
    judge_problem: Problem | None = None
    unscored_answers: int = 0


NextStageFinder: TypeAlias = Callable[[Plan, Run, Run], RunHeader | None]
"""Compares a run with its baseline and returns the header of the next stage; None at the end."""

BaselineReader: TypeAlias = Callable[[Plan], Run | None]
"""Reads the run that a plan's run will be compared with, before the run costs anything."""
