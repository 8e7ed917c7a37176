"""`evalkit diff`: what changed between two runs, versions or baselines; informs, decides nothing."""

from __future__ import annotations

from dataclasses import replace

from evalkit.compare import compare
from evalkit.project import find_root
from evalkit.records import Run
from evalkit.refs import resolve_run
from evalkit.reports.report import Diff
from evalkit.steps import read_spans_of
from evalkit.world import World


def diff(base_ref: str, candidate_ref: str, texts_of: tuple[str, ...], world: World) -> Diff:
    """Compare two stored runs; `baseline` stands for the baseline of the other one's eval set.

    Raises:
        InvalidInput: no such run.
        StoreError: one of them cannot be read.
    """
    root = find_root(world.cwd, world.cwd)

    def resolve(ref: str, other: Run | None) -> Run:
        beside = other.header if other else None
        return resolve_run(ref, root=root, cwd=world.cwd, beside=beside)

    if base_ref == "baseline":
        candidate = resolve(candidate_ref, None)
        base = resolve(base_ref, candidate)
    else:
        base = resolve(base_ref, None)
        candidate = resolve(candidate_ref, base)
    comparison = compare(base, candidate)
    if base.header.evalset_path != candidate.header.evalset_path:
        note = (
            f"Runs of two different sets: {base.header.evalset_path} and "
            f"{candidate.header.evalset_path}."
        )
        comparison = replace(comparison, notes=(note, *comparison.notes))
    return Diff(
        base=base,
        candidate=candidate,
        comparison=comparison,
        texts_of=texts_of,
        base_spans=read_spans_of(base) if texts_of else {},
        candidate_spans=read_spans_of(candidate) if texts_of else {},
    )
