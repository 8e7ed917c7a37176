"""Make a run the baseline of its set, if the run is complete and its judge can be trusted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evalkit.compare.scores import build_score_table
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.errors import EvalkitError, Undecidable
from evalkit.core.files import path_exists
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.gate.judge_trust import explain_controls
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.next_steps import CommandHints
from evalkit.store.baseline import baseline_path, read_baseline, write_baseline

_MAX_ERROR_CHARS = 300


def promote_run(
    run: Run, evalset_path: Path, max_errors: int, project: Project
) -> RecordedBaseline:
    """Write a run as the baseline.

    Raises:
        Undecidable: cases were left out, more trials than allowed have no score, or its judge cannot be
            trusted.
    """
    hints = CommandHints.of(project)
    table = build_score_table(run)
    counted = tally_table(table)
    if not run.finished or counted.errors > max_errors:
        missing = ", ".join(
            f"{count} {state}"
            for state, count in counted.counts.items()
            if count and state not in ("scored", "skipped")
        )
        raise Undecidable(
            f"run {run.header.id} cannot be the baseline: of {counted.selected} trials {missing or 'all are scored, but it is unfinished'}. "
            f"{_name_common_error(run)}{_describe_unchanged(evalset_path, run)} "
            f"Look closer: evalkit show {hints.name_run(run)}. "
            f"Run the missing ones: {format_retry_command(run, hints)}. After an edit of the set: "
            f"{hints.record(run)}"
        )
    if run.header.selection:
        raise Undecidable(
            f"run {run.header.id} cannot be the baseline: it ran only {len(run.header.cases)} of "
            f"{run.header.cases_in_set} cases ({run.header.selection}). Run the whole set."
        )
    if failed := explain_controls(run):
        raise Undecidable(
            f"run {run.header.id} cannot be the baseline: {failed} "
            f"{_describe_unchanged(evalset_path, run)} Fix the judge or the rubric, and judge the stored answers again: evalkit score {hints.name_run(run)}"
        )
    path = baseline_path(evalset_path, run.header.evalset)
    # Read before it is overwritten.
    replaced = _count_trials(path)
    write_baseline(path, run)
    return RecordedBaseline(
        path=path,
        run=run,
        tally=counted,
        summaries=summarize_table(table),
        replaced_trials=replaced,
    )


def _name_common_error(run: Run) -> str:
    """Return the most common error of the agent as a sentence; empty if there is none."""
    errors = Counter(
        f"{trial.output.error.kind}: {trial.output.error.message}".strip(" :.\n")
        for trial in run.trials
        if trial.output.error is not None
    )
    if not errors:
        return ""
    message, count = errors.most_common(1)[0]
    return f"{count} times: {message.splitlines()[0][:_MAX_ERROR_CHARS]}. "


def _describe_unchanged(evalset_path: Path, run: Run) -> str:
    exists = path_exists(baseline_path(evalset_path, run.header.evalset))
    return "The old baseline is unchanged." if exists else "No baseline was written."


def _count_trials(path: Path) -> int:
    """Return the trials per case of the baseline to replace; 0 if there is none to read."""
    try:
        return read_baseline(path).header.trials
    except EvalkitError:
        return 0


def format_retry_command(run: Run, hints: CommandHints) -> str:
    """Return the command that resumes the recording of a baseline."""
    return f"{hints.record(run)} --resume --run-id {run.header.id} --retry-errors"
