"""`evalkit show`: a stored run with its verdict, or one case of it in full."""

from __future__ import annotations

import difflib

from evalkit.commands.gate import gate
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.core.project import find_project_root
from evalkit.report.model import CaseDetails, Report
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.run_spans import read_run_spans


def show_run(ref: str, world: Context, baseline: str | None = None) -> Report:
    """The report on a stored run, decided as `evalkit gate` decides it, for reading only.

    `baseline` names a run to compare with instead of the set's own baseline.

    Raises:
        InvalidInput, StoreError: as `gate`.
    """
    return gate(ref, BaselineChoice(ref=baseline), None, world)


def show_case(ref: str, case_id: str, world: Context) -> CaseDetails:
    """One case of a stored run.

    Raises:
        InvalidInput: no such run, or no such case in it.
    """
    root = find_project_root(world.cwd, world.cwd)
    run = resolve_run(ref, root=root, cwd=world.cwd)
    ids = [case.id for case in run.header.cases]
    if case_id not in ids:
        near = difflib.get_close_matches(case_id, ids, n=1)
        advice = (
            f"Did you mean {near[0]!r}?" if near else f"It has {format_count(len(ids), 'case')}."
        )
        raise InvalidInput.single(f"run {run.header.id} has no case {case_id!r}. {advice}")
    baseline = show_run(ref, world).baseline
    return CaseDetails(
        run=run,
        case=run.header.cases[ids.index(case_id)],
        baseline=baseline,
        spans=read_run_spans(run),
    )
