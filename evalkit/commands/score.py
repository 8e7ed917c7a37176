"""`evalkit score`: score the stored outputs of a run, or of a baseline, by today's set; ask no agent."""

from __future__ import annotations

from pathlib import Path

from evalkit.baseline import baseline_path
from evalkit.basing import GateChoice, find_baseline, open_basis
from evalkit.commands.baseline import promote
from evalkit.commands.run import conclude
from evalkit.deciding import BaselineChoice
from evalkit.errors import InvalidInput
from evalkit.execution import no_baseline, score_stored
from evalkit.findings import Recorded
from evalkit.hints import Place
from evalkit.plan import Order, Plan
from evalkit.project import find_root
from evalkit.records import Json, Run
from evalkit.refs import resolve_run
from evalkit.reports.report import Report
from evalkit.world import World


def score(
    ref: str,
    overrides: dict[str, Json],
    against: BaselineChoice,
    choice: GateChoice,
    world: World,
) -> Report | Recorded:
    """Score a run again as a run of its own and decide it; a baseline is written again in its place.

    Raises:
        EvalkitError: what `run` and `baseline` raise.
    """
    root = find_root(world.cwd, world.cwd)
    source = resolve_run(ref, root=root, cwd=world.cwd)
    path = root / source.header.evalset_path
    if not path.is_file():
        raise InvalidInput.single(
            f"run {source.header.id} is of {source.header.evalset_path}, which is not there. "
            f"Its outputs can only be scored by its set."
        )
    order = Order(path=path, overrides=overrides)
    if is_baseline(source):
        execution = score_stored(source, order, world, no_baseline)
        return promote(execution.run, path, execution.plan.settings.max_errors, world)

    with open_basis(path, choice, world) as basis:

        def baseline_of(plan: Plan) -> Run | None:
            own = baseline_path(path, plan.evalset.name)
            return find_baseline(against, own, basis, run=None, world=world)

        held = basis.hold(order) if basis else order
        execution = score_stored(source, held, world, baseline_of)
        return conclude(execution, against, basis, Place(root=root, cwd=world.cwd))


def is_baseline(run: Run) -> bool:
    """Whether a run was read from a baseline's file."""
    return Path(run.path).suffix == ".jsonl"
