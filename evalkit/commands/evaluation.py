"""Apply the gate to a stored or a new run, and build its report."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from evalkit.ci.accept_hint import find_accept_hint
from evalkit.ci.base import BaseGate, GateChoice, load_comparison_baseline
from evalkit.ci.guarded_gate import open_guarded_gate
from evalkit.commands.first_result import note_first_result
from evalkit.commands.gate_result import GatePolicy, accept_result, apply_gate_review, evaluate_gate
from evalkit.commands.human_mean import add_human_means
from evalkit.commands.model_moves import note_model_moves
from evalkit.commands.suspect_labels import note_suspects
from evalkit.commands.where_it_broke import (
    explain_failure,
    has_failed_threshold,
    read_baseline_spans,
)
from evalkit.compare.call_stats import compute_call_stats
from evalkit.compare.jurors import describe_juror_agreement, measure_juror_agreement
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult
from evalkit.core.git import find_place_in_checkout
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.core.trial import AgentError
from evalkit.evalset.project import Project
from evalkit.gate.judge_trust import explain_controls
from evalkit.report.model import Hint, Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.agent_prices import RETURN_COST
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.case_metrics import DEFAULT_GATE
from evalkit.runner.records import Execution
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, choose_stored_baseline, resolve_run
from evalkit.store.run_seal import refuse_unsealed
from evalkit.store.run_spans import attach_spans, read_run_spans
from evalkit.store.seal import Seal


def evaluate_stored_run(
    ref: str,
    baseline_choice: BaselineChoice,
    gate_choice: GateChoice | None,
    project: Project,
    context: Context,
) -> Report:
    """Apply to a stored run the gate that its set has today, or has at the base.

    Raises:
        InvalidInput: no such run or base, or the eval set is broken.
        StoreError: the run or its baseline cannot be read.
    """
    run = resolve_run(ref, root=project.root, cwd=project.cwd)
    if gate_choice is not None:
        refuse_unsealed(run, Seal(read_store_key(project.environ)))
    path = project.root / run.header.evalset_path
    baseline_choice = choose_stored_baseline(run, baseline_choice)
    with open_guarded_gate(path, gate_choice, project, context) as base_gate:
        own = baseline_path(path, run.header.evalset)
        baseline = load_comparison_baseline(baseline_choice, own, base_gate, project, run=run)
        report = evaluate_with_base(run, baseline, base_gate, baseline_choice, project)
    return note_first_result(report, project)


def evaluate_with_base(
    run: Run,
    baseline: Run | None,
    base_gate: BaseGate,
    baseline_choice: BaselineChoice,
    project: Project,
) -> Report:
    """Apply to a stored run the base's gate if there is one, else its set's own."""
    hints = CommandHints.of(project)
    if base_gate.base_version is not None:
        run = _mark_added_cases(run, base_gate)
    rules, settings = _read_gate_rules(run, base_gate, project)
    policy = GatePolicy.from_settings(settings, allow_missing=baseline_choice.allow_missing)
    result = evaluate_gate(run, rules, baseline, policy, hints)
    baseline = base_gate.relocate_baseline(baseline)
    result = replace(result, definition=base_gate.definition)
    if base_gate.review is not None and not run.header.shard:
        result = apply_gate_review(result, base_gate.review)
    result = accept_result(result, base_gate.acceptance)
    return _build_report(run, result, baseline, project, hints)


def _mark_added_cases(run: Run, base_gate: BaseGate) -> Run:
    """Return the run with a header that lists its cases which the base does not contain."""
    base = base_gate.base_version
    known = {case.id for case in base.evalset.cases} if base else set()
    added = tuple(case.id for case in run.header.cases if case.id not in known)
    commit = base.commit if base else ""
    header = replace(run.header, base_commit=commit, added=added)
    return replace(run, header=header)


def _read_gate_rules(
    run: Run, base_gate: BaseGate, project: Project
) -> tuple[tuple[Rule, ...], dict[str, Json]]:
    """Return rules and settings: those of the base, else of today's set, else of the run.

    Settings that the run's command line gave count before all of these.
    """
    path = project.root / run.header.evalset_path
    if base_gate.base_version is not None:
        evalset = base_gate.base_version.evalset
    elif path.is_file():
        evalset = project.load_valid(path)
    else:
        return run.header.gate, dict(run.header.settings)
    settings = {**run.header.settings, **evalset.settings, **run.header.overrides}
    return evalset.gate or DEFAULT_GATE, settings


def evaluate_execution(
    execution: Execution,
    baseline_choice: BaselineChoice,
    base_gate: BaseGate,
    project: Project,
) -> Report:
    """Apply the gate to a new run, even if it ended early.

    Raises:
        InvalidInput: the agent or a judge cannot be called until the user fixes a problem.
    """
    run, plan, hints = execution.run, execution.plan, CommandHints.of(project)
    policy = GatePolicy.from_settings(
        msgspec.to_builtins(plan.settings), allow_missing=baseline_choice.allow_missing
    )
    result = evaluate_gate(run, plan.gate, execution.baseline, policy, hints)
    if refused := _find_refusal(execution):
        spec = plan.agent
        raise InvalidInput.single(
            f"agent {spec.kind}: {refused.message} Continue with: {hints.resume(run, retry_errors=True)}",
            spec.where,
        )
    if execution.judge_problem:
        raise InvalidInput.single(
            f"{execution.judge_problem.message} The answers are stored. "
            f"Continue with: {hints.resume(run, retry_errors=True)}",
            execution.judge_problem.where,
        )
    result = _explain_early_end(result, execution, hints)
    baseline = base_gate.relocate_baseline(execution.baseline)
    result = replace(result, definition=base_gate.definition)
    review = base_gate.build_review(plan.selection)
    if review is not None and not plan.selection.shard:
        result = apply_gate_review(result, review)
    result = accept_result(result, base_gate.acceptance)
    report = _build_report(run, result, baseline, project, hints)
    # The same command as in the reason.
    resume = Hint(label="resume", command=_find_resume_command(execution, result, hints))
    return replace(
        report,
        hints=tuple(resume if hint.label == resume.label else hint for hint in report.hints),
    )


def _find_refusal(execution: Execution) -> AgentError | None:
    """Return the error that the user must fix before the agent answers at all, or None."""
    trials = execution.run.trials
    last = trials[-1].output.error if trials else None
    if last is None or execution.stopped_by or execution.plan.agent.kind == "recorded":
        return None
    if not last.is_user_fixable and last.kind != "bad_request":
        return None
    errors = (trial.output.error for trial in trials)
    are_alike = all(error is not None and error.kind == last.kind for error in errors)
    return last if execution.unreachable or are_alike else None


def _explain_early_end(result: GateResult, execution: Execution, hints: CommandHints) -> GateResult:
    """Return the result; if the run ended early, its reason says why."""
    run, tally = execution.run, result.tally
    done = f"{tally.selected - tally.counts['not_run']} of {tally.selected} trials"
    again = _find_resume_command(execution, result, hints)
    if execution.stopped_by is not None:
        unscored = execution.unscored_answers
        more = f", and {format_count(unscored, 'unscored answer')}" if unscored else ""
        return replace(
            result,
            outcome="undecided",
            exit_code=128 + execution.stopped_by,
            reason=f"interrupted: {done} are done and stored{more}. Continue with: {again}",
        )
    if execution.unreachable:
        last = run.trials[-1].output.error
        reason = (
            f"stopped after {done}, because the agent could not be reached "
            f"({last.message if last else 'no answer'}). When it is back, run: {again}"
        )
    elif execution.out_of_money:
        reason = (
            f"stopped after {done}, because {execution.out_of_money}. "
            f"{advise_on_money(execution, again)}"
        )
    elif execution.judge_down and not run.finished:
        reason = (
            f"stopped after {done}, because no judge answers any more "
            f"({execution.judge_down}). When one does, run: {again}"
        )
    elif execution.stopped_at_failure:
        reason = f"stopped at the first failure, after {done} (--exitfirst). {result.reason}"
    else:
        return result
    return replace(result, reason=reason)


def advise_on_money(execution: Execution, again: str) -> str:
    """Return how to continue a run that a cost limit ended with the command `again`."""
    if execution.plan.agent_budget.lacks_price:
        return RETURN_COST
    if execution.plan.costs.limit.is_reached:
        return f"Continue with a higher limit: {again}"
    return f"Raise the limit in the set, and continue with: {again}"


def add_higher_limit(execution: Execution, again: str) -> str:
    """Return a command with twice the limit of the run's cost, if that is what ended the run."""
    limit = execution.plan.costs.limit
    if not limit.is_reached or limit.max_usd is None:
        return again
    return f"{again} --max-cost-usd {2 * limit.max_usd:g}"


def _find_resume_command(execution: Execution, result: GateResult, hints: CommandHints) -> str:
    is_down = execution.unreachable or bool(execution.judge_down)
    again = hints.resume(execution.run, retry_errors=is_down or _has_lost_scores(result))
    return add_higher_limit(execution, again)


def _has_lost_scores(result: GateResult) -> bool:
    """Return whether trials have judge errors, which only `--retry-errors` repeats."""
    return bool(result.tally.counts["judge_error"])


def _build_report(
    run: Run, result: GateResult, baseline: Run | None, project: Project, hints: CommandHints
) -> Report:
    """Return the run with its result, call statistics, and the commands to run next.

    Raises:
        StoreError: the stored spans differ from those that the run wrote.
    """
    spans = read_run_spans(run)
    traced = attach_spans(run, spans)
    # Without steps of this run, only an explanation of its failure needs those of the baseline.
    is_needed = bool(spans) or has_failed_threshold(result)
    base_spans = read_baseline_spans(baseline, project.root) if is_needed else {}
    # After the gate: labels inform the reader and never change the result.
    result = add_human_means(result, run, project)
    jurors = measure_juror_agreement(run)
    agreed = (note for found in jurors for note in describe_juror_agreement(found))
    found = (*note_model_moves(run, baseline, project), *note_suspects(result, run, project))
    result = replace(result, notes=(*found, *result.notes, *agreed))
    return Report(
        run=run,
        gate_result=result,
        baseline=baseline,
        hints=_suggest_commands(run, result, baseline, project, hints),
        calls=compute_call_stats(traced),
        spans=spans,
        base_spans=base_spans,
        jurors=jurors,
        breakage=explain_failure(traced, result, baseline, project, base_spans),
        run_name=hints.name_run(run),
        folder=find_place_in_checkout(project.root),
    )


def _suggest_commands(
    run: Run, result: GateResult, baseline: Run | None, project: Project, hints: CommandHints
) -> tuple[Hint, ...]:
    """Return the commands that a reader is likely to run next."""
    found = []
    if not run.finished:
        command = hints.resume(run, retry_errors=_has_lost_scores(result))
        found.append(Hint(label="resume", command=command))
    worst = _find_worst_case(run, result)
    if worst:
        found.append(Hint(label="look closer", command=hints.show(run, worst)))
    if result.comparison is not None:
        found.append(Hint(label="all changes", command=hints.diff(run)))
    if result.gate is not None and result.exit_code == ApprovalNeeded.exit_code:
        in_ci = find_accept_hint(run, project)
        label = "if the edits are meant" if in_ci is None else "to try it on your machine"
        found += filter(None, [in_ci, Hint(label=label, command=hints.accept(run))])
    elif (
        run.finished
        and not run.header.selection
        and not result.tally.errors
        and not explain_controls(run)
    ):
        # A baseline of more trials detects more, so record a new one instead of promoting this run.
        has_more = baseline is not None and baseline.header.trials > run.header.trials
        command = hints.record(run) if has_more else hints.promote(run)
        found.append(Hint(label="accept as baseline", command=command))
    return tuple(found)


def _find_worst_case(run: Run, result: GateResult) -> str | None:
    """Return the case to look at first: the hardest hit, else one in error, else a failing one."""
    for check in result.checks:
        if check.outcome == "fail" and check.hits and not check.advisory:
            return check.hits[0].case_id
    failed = [trial for trial in run.trials if not trial.is_good]
    troubled = [trial for trial in failed if trial.state != "scored"]
    return next((trial.case_id for trial in (*troubled, *failed)), None)
