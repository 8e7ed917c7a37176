"""`evalkit score`: score the stored outputs of a run or baseline with today's set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from evalkit.ci.base import GateChoice, apply_base_gate, load_comparison_baseline
from evalkit.ci.guarded_gate import open_guarded_gate
from evalkit.commands.evaluation import evaluate_execution
from evalkit.commands.promotion import promote_run
from evalkit.commands.stored_result import store_result
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.run import Run
from evalkit.core.settings import SettingsOverrides
from evalkit.evalset.project import Project
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.model import Report
from evalkit.runner.execute import no_baseline, score_stored_run
from evalkit.runner.records import Plan, RunOptions, RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.untrusted_run import import_outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSource:
    """The run to score, and how the new run is named or continued.

    With `evalset`, use only the run's outputs, as answers to that set.
    """

    ref: str
    evalset: Path | None = None
    options: RunOptions = field(default_factory=RunOptions)


def score(
    source: ScoreSource,
    overrides: SettingsOverrides,
    baseline_choice: BaselineChoice,
    gate_choice: GateChoice,
    context: Context,
) -> Report | RecordedBaseline:
    """Score a run as a new run and apply the gate; for a baseline, replace its scores.

    Raises:
        EvalkitError: as `run` and `baseline`.
    """
    project = Project.open(context)
    run = resolve_run(source.ref, root=project.root, cwd=project.cwd)
    # A run from elsewhere could claim any scores, metrics or thresholds.
    if source.evalset is not None:
        evalset = project.load_valid(source.evalset)
        run = import_outputs(run, evalset, project.relative(source.evalset))
    path = project.root / run.header.evalset_path
    if not path.is_file():
        raise InvalidInput.single(
            f"run {run.header.id} is of {run.header.evalset_path}, which does not exist here. "
            f"Outputs can only be scored with their set."
        )
    request = RunRequest(path=path, overrides=overrides)
    # A baseline is a single file; a run is a folder.
    if Path(run.path).suffix == ".jsonl" and source.evalset is None:
        execution = score_stored_run(
            run, request, source.options, project, context, read_baseline=no_baseline
        )
        return promote_run(execution.run, path, execution.plan.settings.max_errors, project)

    own_run = source.options.run_id
    with open_guarded_gate(path, gate_choice, project, context, own_run=own_run) as base_gate:

        def read_baseline(plan: Plan) -> Run | None:
            own = baseline_path(path, plan.evalset.name)
            return load_comparison_baseline(baseline_choice, own, base_gate, project)

        request = apply_base_gate(request, base_gate)
        execution = score_stored_run(
            run, request, source.options, project, context, read_baseline=read_baseline
        )
        report = evaluate_execution(execution, baseline_choice, base_gate, project)
        return store_result(report, project)
