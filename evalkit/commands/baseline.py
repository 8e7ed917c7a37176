"""`evalkit baseline`: record several trials of every case as the baseline, or promote a run."""

from __future__ import annotations

from dataclasses import replace

from evalkit.commands.evaluation import add_higher_limit, advise_on_money
from evalkit.commands.promotion import format_retry_command, promote_run
from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, InvalidInput, Undecidable
from evalkit.core.files import refuse_unwritable
from evalkit.core.format import format_count
from evalkit.core.settings import DEFAULT_BASELINE_SEED, DEFAULT_BASELINE_TRIALS, SettingsOverrides
from evalkit.evalset.project import Project
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute
from evalkit.runner.records import Plan, RunOptions, RunRequest
from evalkit.runner.unjudged_labels import find_unjudged_labels
from evalkit.store.baseline import baseline_path
from evalkit.store.last_command import find_last_command, find_only_run
from evalkit.store.refs import resolve_run


def record_baseline(request: RunRequest, options: RunOptions, context: Context) -> RecordedBaseline:
    """Run the whole set and store it as its baseline.

    Raises:
        Interrupted: by a signal; finished trials are stored and can be resumed.
        Undecidable: some trials have no score, or a cost limit is reached, so nothing was promoted.
    """
    project = Project.open(context, request.path)
    request = replace(request, command="baseline")
    # A resumed run keeps the settings it was started with.
    if not options.resume:
        defaults = SettingsOverrides(trials=DEFAULT_BASELINE_TRIALS, seed=DEFAULT_BASELINE_SEED)
        request = replace(request, overrides=request.overrides.or_else(defaults))

    def prepare(plan: Plan) -> None:
        # Before the first call: what cannot be saved must not be paid for.
        refuse_unwritable(baseline_path(request.path, plan.evalset.name))
        for warning in find_unjudged_labels(plan):
            context.say(f"warning: {warning}")

    execution = execute(request, options, project, context, prepare)
    if execution.stopped_by is not None:
        command = format_retry_command(execution.run, CommandHints.of(project))
        raise Interrupted(
            f"interrupted; finished trials are stored. Continue with: {command}",
            execution.stopped_by,
        )
    if execution.out_of_money:
        command = format_retry_command(execution.run, CommandHints.of(project))
        command = add_higher_limit(execution, command)
        raise Undecidable(
            f"recorded {format_count(len(execution.run.trials), 'trial')}, and stopped because "
            f"{execution.out_of_money}. {advise_on_money(execution, command)}"
        )
    return promote_run(execution.run, request.path, execution.plan.settings.max_errors, project)


def promote_stored_run(request: RunRequest, ref: str, context: Context) -> RecordedBaseline:
    """Make a stored run the baseline of a set.

    Raises:
        InvalidInput: the run is of another set.
        Undecidable: the run is incomplete, or its judge cannot be trusted.
    """
    project = Project.open(context, request.path)
    own = project.relative(request.path)
    if ref == "latest" and len(ran := find_last_command(project.root)) > 1:
        # Of the sets that the last command ran, the one that the user names.
        ref = find_only_run(tuple(each for each in ran if each.path == own) or ran, ref)
    run = resolve_run(ref, root=project.root, cwd=project.cwd)
    path = project.root / run.header.evalset_path
    if path.resolve() != request.path.resolve():
        raise InvalidInput.single(f"run {run.header.id} is of {path}, not of {request.path}.")
    return promote_run(run, request.path, run.header.settings.get("max_errors", 0), project)
