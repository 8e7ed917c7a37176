"""`evalkit score`: score the stored outputs of a run, or of a baseline, by today's set; ask no agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.baseline import baseline_path
from evalkit.basing import GateChoice, find_baseline, open_basis
from evalkit.commands.baseline import promote
from evalkit.commands.concluding import conclude
from evalkit.errors import InvalidInput
from evalkit.execution import no_baseline, score_stored
from evalkit.findings import Recorded
from evalkit.hints import Place
from evalkit.intake import take_outputs
from evalkit.loading.evalset import load_evalset
from evalkit.plan import Order, Plan
from evalkit.project import find_root, path_in
from evalkit.records import Json, Run
from evalkit.refs import BaselineChoice, resolve_run
from evalkit.reports.report import Report
from evalkit.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What is scored: a stored run; with `evalset`, only its outputs are believed, as answers to that set."""

    ref: str
    evalset: Path | None = None


def score(
    source: Source,
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
    run = resolve_run(source.ref, root=root, cwd=world.cwd)
    if source.evalset is not None:
        run = _as_answers_to(source.evalset, run, root)
    path = root / run.header.evalset_path
    if not path.is_file():
        raise InvalidInput.single(
            f"run {run.header.id} is of {run.header.evalset_path}, which is not there. "
            f"Its outputs can only be scored by its set."
        )
    order = Order(path=path, overrides=overrides)
    if is_baseline(run) and source.evalset is None:
        execution = score_stored(run, order, world, no_baseline)
        return promote(execution.run, path, execution.plan.settings.max_errors, world)

    with open_basis(path, choice, world) as basis:

        def baseline_of(plan: Plan) -> Run | None:
            own = baseline_path(path, plan.evalset.name)
            return find_baseline(against, own, basis, run=None, world=world)

        held = basis.hold(order) if basis else order
        execution = score_stored(run, held, world, baseline_of)
        return conclude(execution, against, basis, Place(root=root, cwd=world.cwd))


def is_baseline(run: Run) -> bool:
    """Whether a run was read from a baseline's file."""
    return Path(run.path).suffix == ".jsonl"


def _as_answers_to(evalset: Path, run: Run, root: Path) -> Run:
    found, problems = load_evalset(evalset, root=root)
    if problems:
        raise InvalidInput(problems)
    return take_outputs(run, found, path_in(root, evalset))
