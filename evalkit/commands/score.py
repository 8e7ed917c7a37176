"""`evalkit score`: score the stored outputs of a run, or of a baseline, by today's set; ask no agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base import GateChoice, load_comparison_baseline, open_base_gate
from evalkit.commands.baseline import promote_run
from evalkit.commands.gate_result import evaluate_execution
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.project import find_project_root, relative_to_root
from evalkit.core.run import Run
from evalkit.evalset.loader import load_evalset
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.model import Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import no_baseline
from evalkit.runner.plan import Plan, RunRequest
from evalkit.runner.score_stored import score_stored_run
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.untrusted_run import import_outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSource:
    """What is scored: a stored run; with `evalset`, only its outputs are believed, as answers to that set."""

    ref: str
    evalset: Path | None = None


def score(
    source: ScoreSource,
    overrides: dict[str, Json],
    against: BaselineChoice,
    choice: GateChoice,
    world: Context,
) -> Report | RecordedBaseline:
    """Score a run again as a run of its own and decide it; a baseline is written again in its place.

    Raises:
        EvalkitError: what `run` and `baseline` raise.
    """
    root = find_project_root(world.cwd, world.cwd)
    run = resolve_run(source.ref, root=root, cwd=world.cwd)
    if source.evalset is not None:
        run = _import_answers(source.evalset, run, root)
    path = root / run.header.evalset_path
    if not path.is_file():
        raise InvalidInput.single(
            f"run {run.header.id} is of {run.header.evalset_path}, which is not there. "
            f"Its outputs can only be scored by its set."
        )
    order = RunRequest(path=path, overrides=overrides)
    if is_baseline(run) and source.evalset is None:
        execution = score_stored_run(run, order, world, no_baseline)
        return promote_run(execution.run, path, execution.plan.settings.max_errors, world)

    with open_base_gate(path, choice, world) as basis:

        def baseline_of(plan: Plan) -> Run | None:
            own = baseline_path(path, plan.evalset.name)
            return load_comparison_baseline(against, own, basis, run=None, world=world)

        held = basis.apply_to(order) if basis else order
        execution = score_stored_run(run, held, world, baseline_of)
        return evaluate_execution(execution, against, basis, CommandHints(root=root, cwd=world.cwd))


def is_baseline(run: Run) -> bool:
    """Whether a run was read from a baseline's file."""
    return Path(run.path).suffix == ".jsonl"


def _import_answers(evalset: Path, run: Run, root: Path) -> Run:
    found, problems = load_evalset(evalset, root=root)
    if problems:
        raise InvalidInput(problems)
    return import_outputs(run, found, relative_to_root(root, evalset))
