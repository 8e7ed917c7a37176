"""`evalkit run`: call the agent, store and score its outputs, and apply the gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.ci.acceptance import refuse_other_commit
from evalkit.ci.access_changes import refuse_new_access
from evalkit.ci.against import open_baseline_agent
from evalkit.ci.base import BaseGate, GateChoice, apply_base_gate, load_comparison_baseline
from evalkit.ci.guarded_gate import open_guarded_gate
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.core.redaction import Redactor
from evalkit.core.run import Run
from evalkit.core.run_budget import NO_LIMIT, BudgetLimit
from evalkit.evalset.project import Project
from evalkit.runner.execute import execute
from evalkit.runner.preflight import find_preflight_warnings, is_about_deciding
from evalkit.runner.records import Plan, RunOptions, RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, fix_baseline, read_newest_run

if TYPE_CHECKING:
    from evalkit.report.model import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonOptions:
    """The gate to apply to a run, and the baseline to compare it with.

    `against` names a commit whose agent runs in turns with this one and provides the baseline. `budget`
    limits the trials of both.
    """

    gate: GateChoice
    baseline: BaselineChoice
    against: str | None = None
    budget: BudgetLimit = NO_LIMIT


def run(
    request: RunRequest, options: RunOptions, comparison: ComparisonOptions, context: Context
) -> Report:
    """Run a set and apply the gate, even if the run ended early.

    Raises:
        EvalkitError: the set could not be run, or a result could not be stored.
    """
    started, heard = context.now(), list[str]()

    def say(text: str) -> None:
        heard.append(text)
        context.say(text)

    report = _run(request, options, comparison, replace(context, say=say))
    is_open = report.gate_result.outcome in ("pass", "inconclusive")
    return replace(
        report,
        # What was said at the start has scrolled away when the result is printed.
        warnings=tuple(
            Redactor(context.environ).redact_text(text)
            for text in heard
            if text.startswith("warning: ") and (is_open or not is_about_deciding(text))
        ),
        took_s=(context.now() - started).total_seconds(),
    )


def _run(
    request: RunRequest, options: RunOptions, comparison: ComparisonOptions, context: Context
) -> Report:
    project = Project.open(context, request.path)
    with (
        open_guarded_gate(
            request.path, comparison.gate, project, context, own_run=options.run_id
        ) as base_gate,
        open_baseline_agent(request.path, comparison.against, project, context) as version,
    ):
        refuse_other_commit(base_gate.acceptance, project)
        refuse_new_access(base_gate.review)
        request = replace(apply_base_gate(request, base_gate), baseline_agent=version)
        if comparison.budget:
            request = _spend_budget(request, comparison, base_gate, project, context)

        def read_baseline(plan: Plan) -> Run | None:
            if version is not None:
                return None  # the baseline is created during this run
            path = project.root / project.relative(request.path)
            own = baseline_path(path, plan.evalset.name)
            baseline = load_comparison_baseline(comparison.baseline, own, base_gate, project)
            for warning in find_preflight_warnings(plan, baseline):
                context.say(f"warning: {warning}")
            return baseline

        execution = execute(request, options, project, context, read_baseline)
        # Import it here, because it loads numpy, which would delay the agent.
        from evalkit.commands.evaluation import evaluate_execution  # noqa: PLC0415
        from evalkit.commands.stored_result import store_result  # noqa: PLC0415

        report = evaluate_execution(execution, comparison.baseline, base_gate, project)
        return store_result(report, project)


def _spend_budget(
    request: RunRequest,
    comparison: ComparisonOptions,
    base_gate: BaseGate,
    project: Project,
    context: Context,
) -> RunRequest:
    """Return the request with the trials that its budget buys, and say what they detect."""
    # These load numpy, which a run without a budget needs later.
    from evalkit.commands.budget import apply_budget  # noqa: PLC0415
    from evalkit.report.budget import budget_sentences  # noqa: PLC0415

    request = apply_budget(request, comparison.budget, comparison.baseline, base_gate, project)
    if request.budget is not None:
        for sentence in budget_sentences(request.budget):
            context.say(sentence)
    return request


def fix_compared_run(
    comparison: ComparisonOptions, request: RunRequest, context: Context
) -> ComparisonOptions:
    """Return the comparison with the run that its baseline names before this command is the last one."""
    project = Project.open(context, request.path)
    baseline = fix_baseline(comparison.baseline, root=project.root, cwd=project.cwd)
    return replace(comparison, baseline=baseline)


def narrow_to_failed(request: RunRequest, context: Context) -> RunRequest:
    """Return the request, limited to the cases that did not pass in the newest run of the set.

    Raises:
        InvalidInput: the set has never been run.
        NothingSelected: every case passed.
    """
    project = Project.open(context, request.path)
    newest = read_newest_run(project.relative(request.path), project.root)
    passed = {trial.case_id for trial in newest.trials if trial.is_good}
    passed -= {trial.case_id for trial in newest.trials if not trial.is_good}
    failed = frozenset(case.id for case in newest.header.cases if case.id not in passed)
    if not failed:
        raise NothingSelected(f"no case failed in run {newest.header.id}. Leave out --last-failed.")
    return replace(request, selection=replace(request.selection, only=failed))
