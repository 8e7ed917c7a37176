"""`evalkit show`: a stored run with its verdict, or one case of it in full."""

from __future__ import annotations

import difflib

from evalkit.commands.gate import gate
from evalkit.errors import InvalidInput
from evalkit.project import find_root
from evalkit.refs import BaselineChoice, resolve_run
from evalkit.reports.report import Report, ShownCase
from evalkit.spelling import count_of
from evalkit.steps import read_spans_of
from evalkit.world import World


def show_run(ref: str, world: World, baseline: str | None = None) -> Report:
    """The report on a stored run, decided as `evalkit gate` decides it, for reading only.

    `baseline` names a run to compare with instead of the set's own baseline.

    Raises:
        InvalidInput, StoreError: as `gate`.
    """
    return gate(ref, BaselineChoice(ref=baseline), None, world)


def show_case(ref: str, case_id: str, world: World) -> ShownCase:
    """One case of a stored run.

    Raises:
        InvalidInput: no such run, or no such case in it.
    """
    root = find_root(world.cwd, world.cwd)
    run = resolve_run(ref, root=root, cwd=world.cwd)
    ids = [case.id for case in run.header.cases]
    if case_id not in ids:
        near = difflib.get_close_matches(case_id, ids, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"It has {count_of(len(ids), 'case')}."
        raise InvalidInput.single(f"run {run.header.id} has no case {case_id!r}. {advice}")
    baseline = show_run(ref, world).baseline
    return ShownCase(
        run=run,
        case=run.header.cases[ids.index(case_id)],
        baseline=baseline,
        spans=read_spans_of(run),
    )
