"""`evalkit baseline`: record several trials of every case, or promote a run, as the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalkit.compare.scores import build_score_table
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError, Interrupted, InvalidInput, Undecidable
from evalkit.core.project import find_project_root
from evalkit.core.run import Run
from evalkit.gate.judge_trust import explain_failed_controls
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute, no_baseline
from evalkit.runner.plan import RunRequest
from evalkit.runner.resume import RunOptions
from evalkit.store.baseline import baseline_path, read_baseline, write_baseline
from evalkit.store.refs import resolve_run

DEFAULT_BASELINE_TRIALS = 10
"""A baseline of ten trials sees an 8-point drop where one of a single trial sees 11 (n = 100)."""

DEFAULT_BASELINE_SEED = 1
"""Not the default of a run, so that a candidate does not repeat the baseline's own draws."""


def record_baseline(order: RunRequest, choices: RunOptions, world: Context) -> RecordedBaseline:
    """Run the whole set and store it as its baseline.

    Raises:
        Interrupted: by a signal; what is done is stored and can be resumed.
        Undecidable: some trials have no score, so nothing was promoted.
    """
    if not choices.resume:
        defaults = {"trials": DEFAULT_BASELINE_TRIALS, "seed": DEFAULT_BASELINE_SEED}
        given = {name: value for name, value in order.overrides.items() if value is not None}
        order = replace(order, overrides={**defaults, **given})
    execution = execute(order, choices, world, no_baseline)
    if execution.stopped_by is not None:
        raise Interrupted(
            f"interrupted; what is done is stored. Go on with: {_retry_command(execution.run, CommandHints(root=execution.plan.surroundings.root, cwd=world.cwd))}",
            execution.stopped_by,
        )
    return promote_run(execution.run, order.path, execution.plan.settings.max_errors, world)


def promote_stored_run(order: RunRequest, ref: str, world: Context) -> RecordedBaseline:
    """Make a stored run the baseline of a set.

    Raises:
        InvalidInput: it is a run of another set.
        Undecidable: it is not complete.
    """
    root = find_project_root(order.path.parent, world.cwd)
    run = resolve_run(ref, root=root, cwd=world.cwd)
    if (root / run.header.evalset_path).resolve() != order.path.resolve():
        raise InvalidInput.single(
            f"run {run.header.id} is of {root / run.header.evalset_path}, not of {order.path}."
        )
    return promote_run(run, order.path, run.header.settings.get("max_errors", 0), world)


def promote_run(run: Run, evalset_path: Path, max_errors: int, world: Context) -> RecordedBaseline:
    """Write a run as the baseline, if it is a whole one.

    Raises:
        Undecidable: cases were left out, more trials than allowed have no score, or its judge cannot be
            trusted.
    """
    place = CommandHints(root=find_project_root(evalset_path.parent, world.cwd), cwd=world.cwd)
    table = build_score_table(run)
    counted = tally_table(table)
    if not run.finished or counted.errors > max_errors:
        missing = ", ".join(
            f"{count} {state}"
            for state, count in counted.counts.items()
            if count and state not in ("scored", "skipped")
        )
        raise Undecidable(
            f"run {run.header.id} is no baseline: of {counted.selected} trials {missing or 'all are'}"
            f"{'' if missing else ' scored, but it is unfinished'}. The old baseline is unchanged. "
            f"Look closer: evalkit show {place.name_run(run)}. "
            f"Run the missing ones: {_retry_command(run, place)}"
        )
    if run.header.selection:
        raise Undecidable(
            f"run {run.header.id} is no baseline: it ran only {len(run.header.cases)} of "
            f"{run.header.cases_in_set} cases ({run.header.selection}). Run the whole set."
        )
    if failed := explain_failed_controls(run):
        raise Undecidable(
            f"run {run.header.id} is no baseline: {failed} The old baseline is unchanged. Mend the "
            f"judge or the rubric, and judge the stored answers again: evalkit score {place.name_run(run)}"
        )
    path = baseline_path(evalset_path, run.header.evalset)
    replaced = _count_trials(path)
    write_baseline(path, run)
    return RecordedBaseline(
        path=path,
        run=run,
        tally=counted,
        summaries=summarize_table(table),
        replaced_trials=replaced,
    )


def _count_trials(path: Path) -> int:
    """How many trials a case the baseline has that is about to be replaced."""
    try:
        return read_baseline(path).header.trials
    except EvalkitError:
        return 0  # none, or one that could not be used any more


def _retry_command(run: Run, place: CommandHints) -> str:
    return f"{place.record(run)} --resume --run-id {run.header.id} --retry-errors"
