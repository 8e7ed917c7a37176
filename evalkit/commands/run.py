"""`evalkit run`: ask the agent, score, store, compare with the baseline, decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.alongside import open_rival
from evalkit.baseline import baseline_path
from evalkit.basing import Basis, GateChoice, find_baseline, open_basis
from evalkit.commands.foreseeing import find_warnings
from evalkit.errors import NothingSelected
from evalkit.execution import execute
from evalkit.hints import Place
from evalkit.plan import Order, Plan
from evalkit.project import find_root, path_in
from evalkit.records import Run
from evalkit.refs import BaselineChoice, newest_run_of
from evalkit.resuming import Choices
from evalkit.world import World

if TYPE_CHECKING:
    from evalkit.reports.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Opposite:
    """What a run is held against: by which gate, and what it is compared with.

    With `against`, that is the agent as it is at another commit, run alongside.
    """

    gate: GateChoice
    baseline: BaselineChoice
    against: str | None = None


def run(order: Order, choices: Choices, opposite: Opposite, world: World) -> Report:
    """Carry out a run and decide it, however far it came.

    Raises:
        EvalkitError: nothing could be run, or what was run could not be stored.
    """
    with (
        open_basis(order.path, opposite.gate, world) as basis,
        open_rival(order.path, opposite.against, world) as rival,
    ):
        held = replace(basis.hold(order) if basis else order, rival=rival)
        return run_held(held, choices, opposite.baseline, basis, world)


def run_held(
    order: Order, choices: Choices, against: BaselineChoice, basis: Basis | None, world: World
) -> Report:
    """Carry out a run of an order that is held to a basis, and decide it."""

    def baseline_of(plan: Plan) -> Run | None:
        if order.rival is not None:
            return None  # it is made along the way
        root = plan.surroundings.root
        own = baseline_path(root / path_in(root, order.path), plan.evalset.name)
        baseline = find_baseline(against, own, basis, run=None, world=world)
        for warning in find_warnings(plan, baseline):
            world.say(f"warning: {warning}")
        return baseline

    execution = execute(order, choices, world, baseline_of)
    from evalkit.commands.concluding import conclude  # noqa: PLC0415 - the agents need not wait for it

    place = Place(root=execution.plan.surroundings.root, cwd=world.cwd)
    return conclude(execution, against, basis, place)


def narrow_to_failed(order: Order, world: World) -> Order:
    """The order, limited to the cases that did not pass in the newest run of the set.

    Raises:
        InvalidInput: the set has never been run.
        NothingSelected: every case passed.
    """
    root = find_root(order.path.parent, world.cwd)
    run = newest_run_of(path_in(root, order.path), root)
    passed = {trial.case_id for trial in run.trials if trial.passed}
    passed -= {trial.case_id for trial in run.trials if not trial.passed}
    failed = frozenset(case.id for case in run.header.cases if case.id not in passed)
    if not failed:
        raise NothingSelected(f"no case failed in run {run.header.id}. Leave out --failed.")
    return replace(order, selection=replace(order.selection, only=failed))
