"""`evalkit diff`: show what changed between runs, versions, or baselines, without a gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from evalkit.compare.matrix import build_matrix
from evalkit.compare.pairs import compare_runs
from evalkit.compare.versions import ComparedSide, resolve_side
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.report.model import Diff
from evalkit.report.version_matrix import VersionMatrix


def diff(
    refs: Sequence[str], texts_of: tuple[str, ...], tags: tuple[str, ...], context: Context
) -> Diff | VersionMatrix:
    """Compare stored runs or versions with the first of them: two as a diff, more as a matrix.

    The ref `baseline` means the baseline of the other refs' eval set.

    Raises:
        InvalidInput: no such run, or no such tag.
        StoreError: one of them cannot be read.
    """
    sides = _find_sides(refs, context)
    _refuse_unknown_tags(tags, sides)
    paths = dict.fromkeys(side.run.header.evalset_path for side in sides)
    notes = [note for side in sides for note in side.notes]
    if len(paths) > 1:
        number = "two" if len(paths) == 2 else len(paths)
        notes.insert(0, f"Runs of {number} different sets: {' and '.join(paths)}.")
    if len(sides) == 2:
        return _diff_two(sides[0], sides[1], texts_of, tags, notes)
    labels = _build_labels(sides)
    runs = tuple(side.run for side in sides)
    return VersionMatrix(
        runs=runs,
        run_ids=tuple(side.run_ids for side in sides),
        labels=labels,
        matrix=build_matrix(runs, labels, tags),
        detailed_case_ids=texts_of,
        notes=tuple(notes),
    )


def _find_sides(refs: Sequence[str], context: Context) -> list[ComparedSide]:
    """Return the sides in the order of `refs`; resolve `baseline` last, in the set of the others."""
    project = Project.open(context)
    found: dict[int, ComparedSide] = {}
    first = None
    for index in sorted(range(len(refs)), key=lambda index: refs[index] == "baseline"):
        found[index] = resolve_side(
            refs[index], root=project.root, cwd=project.cwd, same_set_as=first
        )
        first = first or found[index].run.header
    return [found[index] for index in range(len(refs))]


def _refuse_unknown_tags(tags: Sequence[str], sides: Sequence[ComparedSide]) -> None:
    known = {tag for side in sides for case in side.run.header.cases for tag in case.tags}
    for tag in tags:
        if tag not in known:
            near = get_close_matches(tag, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else "Leave it out."
            raise InvalidInput.single(f"no case has the tag {tag!r}. {advice}")


def _diff_two(
    base: ComparedSide,
    candidate: ComparedSide,
    texts_of: tuple[str, ...],
    tags: tuple[str, ...],
    notes: list[str],
) -> Diff:
    comparison = compare_runs(base.run, candidate.run)
    return Diff(
        base=base.run,
        candidate=candidate.run,
        comparison=replace(comparison, notes=(*notes, *comparison.notes)),
        proven=_find_proven_metrics(base.run, candidate.run),
        detailed_case_ids=texts_of,
        tags=tags,
        base_runs=base.run_ids if base.pooled else (),
        candidate_runs=candidate.run_ids if candidate.pooled else (),
        base_spans=base.read_spans() if texts_of else {},
        candidate_spans=candidate.read_spans() if texts_of else {},
    )


def _find_proven_metrics(base: Run, candidate: Run) -> frozenset[str]:
    """Return the metrics on all cases in which one run is proven better."""
    rows = build_matrix((base, candidate), ("base", "candidate")).rows
    return frozenset(row.metric for row in rows if row.tag is None and len(row.leaders) == 1)


def _build_labels(sides: Sequence[ComparedSide]) -> tuple[str, ...]:
    """Return the version of each side, with its run id if the version is shared or missing."""
    versions = Counter(side.run.header.agent_version for side in sides)
    return tuple(
        version
        if (version := side.run.header.agent_version) and versions[version] == 1
        else f"{version} {side.run.header.id}".strip()
        for side in sides
    )
