"""`evalkit run`: ask the agent, score, store, compare with the baseline, decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.ci.against import open_baseline_agent
from evalkit.ci.base import BaseGate, GateChoice, load_comparison_baseline, open_base_gate
from evalkit.commands.dry_run import find_preflight_warnings
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.core.project import find_project_root, relative_to_root
from evalkit.core.run import Run
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute
from evalkit.runner.plan import Plan, RunRequest
from evalkit.runner.resume import RunOptions
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_newest_run

if TYPE_CHECKING:
    from evalkit.report.model import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonOptions:
    """What a run is held against: by which gate, and what it is compared with.

    With `against`, that is the agent as it is at another commit, run alongside.
    """

    gate: GateChoice
    baseline: BaselineChoice
    against: str | None = None


def run(
    order: RunRequest, choices: RunOptions, opposite: ComparisonOptions, world: Context
) -> Report:
    """Carry out a run and decide it, however far it came.

    Raises:
        EvalkitError: nothing could be run, or what was run could not be stored.
    """
    with (
        open_base_gate(order.path, opposite.gate, world) as basis,
        open_baseline_agent(order.path, opposite.against, world) as rival,
    ):
        held = replace(basis.apply_to(order) if basis else order, baseline_agent=rival)
        return run_with_base(held, choices, opposite.baseline, basis, world)


def run_with_base(
    order: RunRequest,
    choices: RunOptions,
    against: BaselineChoice,
    basis: BaseGate | None,
    world: Context,
) -> Report:
    """Carry out a run of an order that is held to a basis, and decide it."""

    def baseline_of(plan: Plan) -> Run | None:
        if order.baseline_agent is not None:
            return None  # it is made along the way
        root = plan.surroundings.root
        own = baseline_path(root / relative_to_root(root, order.path), plan.evalset.name)
        baseline = load_comparison_baseline(against, own, basis, run=None, world=world)
        for warning in find_preflight_warnings(plan, baseline):
            world.say(f"warning: {warning}")
        return baseline

    execution = execute(order, choices, world, baseline_of)
    from evalkit.commands.gate_result import evaluate_execution  # noqa: PLC0415 - the agents need not wait for it

    place = CommandHints(root=execution.plan.surroundings.root, cwd=world.cwd)
    return evaluate_execution(execution, against, basis, place)


def narrow_to_failed(order: RunRequest, world: Context) -> RunRequest:
    """The order, limited to the cases that did not pass in the newest run of the set.

    Raises:
        InvalidInput: the set has never been run.
        NothingSelected: every case passed.
    """
    root = find_project_root(order.path.parent, world.cwd)
    run = read_newest_run(relative_to_root(root, order.path), root)
    passed = {trial.case_id for trial in run.trials if trial.passed}
    passed -= {trial.case_id for trial in run.trials if not trial.passed}
    failed = frozenset(case.id for case in run.header.cases if case.id not in passed)
    if not failed:
        raise NothingSelected(f"no case failed in run {run.header.id}. Leave out --failed.")
    return replace(order, selection=replace(order.selection, only=failed))
