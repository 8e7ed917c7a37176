"""Compare several versions of an agent: every metric, and the cases with different results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from evalkit.compare.estimates import compute_mean_interval, mean_of_means
from evalkit.compare.level import find_leaders
from evalkit.compare.pairs import compare_tables, summarize_case_ids
from evalkit.compare.scores import ScoreTable, build_score_table
from evalkit.core.gate_result import Comparison, MetricChange
from evalkit.core.literals import CaseStatus
from evalkit.core.run import MetricInfo, Run

_NOT_COMPARABLE = (
    "No cases are compared, because no metric of the gate is measured the same way in all versions."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixCell:
    """One metric of one version; `low` and `high` are the 90 % interval of its mean.

    `change` is the change from the first version, over the cases that both scored; None if they cannot be
    compared. `scored` of `due` trials have a value.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    scored: int = 0
    due: int = 0
    change: MetricChange | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixRow:
    """One metric, or one metric on the cases with `tag`, with a cell for every version.

    `leaders` has the index of the version with the best mean, then those of the versions that are level
    with it by the paired test; empty if fewer than two versions can be compared.
    """

    metric: str
    tag: str | None = None
    unit: str = ""
    higher_is_better: bool = True
    cells: tuple[MatrixCell, ...] = ()
    leaders: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixCase:
    """One case whose result differs between versions: passed and scored trials of each version.

    `passing` is the number of versions that pass it in more than half of their trials. `statuses` has the
    status in every version but the first, compared with the first.
    """

    case_id: str
    passing: int
    passed: tuple[int, ...]
    trials: tuple[int, ...]
    statuses: tuple[CaseStatus, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """Several versions compared over the `shared` cases, which are the same in all versions."""

    rows: tuple[MatrixRow, ...]
    cases: tuple[MatrixCase, ...]
    shared: tuple[str, ...]
    notes: tuple[str, ...]


def build_matrix(runs: Sequence[Run], labels: Sequence[str], tags: Sequence[str] = ()) -> Matrix:
    """Compare runs with the first of them.

    Args:
        runs: one run of each version, the first being the reference.
        labels: the names of the runs in notes, in the same order.
        tags: the tags that get their own rows.
    """
    shared = _shared_cases(runs)
    tables = [build_score_table(_select_cases(run, frozenset(shared))) for run in runs]
    comparisons = [compare_tables(tables[0], table) for table in tables[1:]]
    # The definition of a metric is that of the first version that has it.
    infos: dict[str, MetricInfo] = {}
    for table in tables:
        for name, info in table.infos.items():
            infos.setdefault(name, info)
    rows = [
        _build_row(info, tag, tables, comparisons)
        for info in infos.values()
        for tag in (None, *tags)
    ]
    comparable = [
        name
        for name, info in infos.items()
        if not info.advisory and all(_is_measured(info, table) for table in tables)
    ]
    return Matrix(
        rows=tuple(row for row in rows if any(cell.due for cell in row.cells)),
        cases=tuple(_find_differing_cases(shared, tables, comparisons) if comparable else ()),
        shared=shared,
        notes=(
            *_describe_unshared(runs, shared),
            *chain.from_iterable(map(partial(_notes, shared, infos), labels, tables)),
            *([] if comparable else [_NOT_COMPARABLE]),
        ),
    )


def _shared_cases(runs: Sequence[Run]) -> tuple[str, ...]:
    first, *others = ({case.id: case.digest for case in run.header.cases} for run in runs)
    return tuple(
        case_id
        for case_id, digest in first.items()
        if all(other.get(case_id) == digest for other in others)
    )


def _select_cases(run: Run, case_ids: frozenset[str]) -> Run:
    kept = tuple(case for case in run.header.cases if case.id in case_ids)
    return replace(run, header=replace(run.header, cases=kept))


def _is_measured(info: MetricInfo, table: ScoreTable) -> bool:
    """Return whether a version measures a metric in the same way as the first version that has it."""
    return info.name in table.infos and table.infos[info.name].definition == info.definition


def _build_row(
    info: MetricInfo,
    tag: str | None,
    tables: Sequence[ScoreTable],
    comparisons: Sequence[Comparison],
) -> MatrixRow:
    cells = []
    # The first version is compared with nothing.
    for table, comparison in zip(tables, (None, *comparisons), strict=True):
        changes = (
            change
            for change in (comparison.metrics if comparison is not None else ())
            if (change.metric, change.tag) == (info.name, tag) and not change.why_not
        )
        cell = MatrixCell()
        if _is_measured(info, table):
            cell = replace(_build_cell(info, tag, table), change=next(changes, None))
        cells.append(cell)
    return MatrixRow(
        metric=info.name,
        tag=tag,
        unit=info.unit,
        higher_is_better=info.higher_is_better,
        cells=tuple(cells),
        leaders=find_leaders(info, tag, tables, [cell.mean for cell in cells]),
    )


def _build_cell(info: MetricInfo, tag: str | None, table: ScoreTable) -> MatrixCell:
    cases = table.cases
    scores = [
        scores
        for case_id, scores in table.scores.get(info.name, {}).items()
        if tag is None or tag in cases[case_id].tags
    ]
    low, high = compute_mean_interval(info.name, info.unit, scores)
    values = [each.values for each in scores if each.values]
    return MatrixCell(
        mean=mean_of_means(values) if values else None,
        low=low,
        high=high,
        scored=sum(map(len, values)),
        due=sum(each.due for each in scores),
    )


def _find_differing_cases(
    shared: Sequence[str], tables: Sequence[ScoreTable], comparisons: Sequence[Comparison]
) -> list[MatrixCase]:
    """Return the cases whose results differ between versions, sorted by the number of passing versions."""
    changes = [{each.case_id: each for each in comparison.cases} for comparison in comparisons]
    found = []
    for case_id in shared:
        compared = [by_case[case_id] for by_case in changes]
        changed = any(
            each.status in ("regressed", "fixed") or each.score_changed for each in compared
        )
        trials = [table.scored_trials(case_id) for table in tables]
        passed = [sum(trial.passed for trial in row) for row in trials]
        passes = [2 * count > len(row) for count, row in zip(passed, trials, strict=True) if row]
        if changed or len(set(passes)) > 1:
            found.append(
                MatrixCase(
                    case_id=case_id,
                    passing=sum(passes),
                    passed=tuple(passed),
                    trials=tuple(map(len, trials)),
                    statuses=tuple(each.status for each in compared),
                )
            )
    # The sort is stable, so cases with the same number keep the order of the set.
    return sorted(found, key=lambda case: case.passing)


def _describe_unshared(runs: Sequence[Run], shared: Sequence[str]) -> Iterator[str]:
    ids = dict.fromkeys(case.id for run in runs for case in run.header.cases)
    others = [case_id for case_id in ids if case_id not in set(shared)]
    if others:
        yield f"Left out, not the same in all versions: {summarize_case_ids(others)}."


def _notes(
    shared: Sequence[str], infos: Mapping[str, MetricInfo], label: str, table: ScoreTable
) -> Iterator[str]:
    """Yield what the matrix leaves out of a version."""
    for info in infos.values():
        if reason := _omission_reason(info, table):
            yield f"{label}: {info.name} is left out: {reason}."
    missing = [case_id for case_id in shared if not table.scored_trials(case_id)]
    if missing:
        yield f"{label}: without a complete trial: {summarize_case_ids(missing)}."


def _omission_reason(info: MetricInfo, table: ScoreTable) -> str:
    own = table.infos.get(info.name)
    if own is None:
        return "it is not in this version's runs"
    if own.judge_digest != info.judge_digest:
        return (
            f"it was judged by {own.judge or 'no judge'}, elsewhere by {info.judge or 'no judge'}"
        )
    return "it was measured differently" if own.digest != info.digest else ""
