"""`evalkit show`: a stored run with its result, or one case of it in full."""

from __future__ import annotations

import difflib
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.evalset.project import Project
from evalkit.report.model import CaseDetails, Report
from evalkit.store.baseline import baseline_path
from evalkit.store.last_command import find_last_command
from evalkit.store.refs import (
    BaselineChoice,
    choose_stored_baseline,
    read_baseline_for,
    resolve_run,
)
from evalkit.store.run_spans import read_run_spans
from evalkit.store.runs import read_header, runs_folder


def show_run(ref: str, context: Context, baseline: str | None = None) -> Report:
    """Return the report on a stored run, with the gate that its set has today.

    `baseline` names a run to compare with instead of the set's own baseline.

    Raises:
        InvalidInput, StoreError: as `gate`.
    """
    # Imported here because it loads numpy, which one case does not need.
    from evalkit.commands.evaluation import evaluate_stored_run  # noqa: PLC0415

    project = Project.open(context)
    return evaluate_stored_run(ref, BaselineChoice(ref=baseline), None, project, context)


def show_case(ref: str, case_id: str, context: Context) -> CaseDetails:
    """Return one case of a stored run.

    Raises:
        InvalidInput: no such run, or no such case in it.
        StoreError, ApprovalNeeded: the run or its baseline cannot be trusted.
    """
    project = Project.open(context)
    if ref == "latest":
        ref = _find_run_of_case(case_id, project.root) or ref
    run = resolve_run(ref, root=project.root, cwd=project.cwd, only_case=case_id)
    ids = [case.id for case in run.header.cases]
    if case_id not in ids:
        near = difflib.get_close_matches(case_id, ids, n=1)
        advice = (
            f"Did you mean {near[0]!r}?" if near else f"It has {format_count(len(ids), 'case')}."
        )
        raise InvalidInput.single(f"run {run.header.id} has no case {case_id!r}. {advice}")
    own = baseline_path(project.root / run.header.evalset_path, run.header.evalset)
    choice = choose_stored_baseline(run, BaselineChoice(only_case=case_id))
    return CaseDetails(
        run=run,
        case=run.header.cases[ids.index(case_id)],
        baseline=read_baseline_for(run, choice, own, root=project.root, cwd=project.cwd),
        spans=read_run_spans(run, case_id),
    )


def _find_run_of_case(case_id: str, root: Path) -> str | None:
    """Return the only run of the last command with the case, if it ran several sets; else None."""
    entries = find_last_command(root)
    found = [
        entry.run_id
        for entry in entries
        if entry.has_run
        and any(case.id == case_id for case in read_header(runs_folder(root) / entry.run_id).cases)
    ]
    return found[0] if len(entries) > 1 and len(found) == 1 else None
