"""Turn a comparison of versions into words: who is best, what is level, and which cases who passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.compare.matrix import MatrixCase, MatrixRow, build_matrix
from evalkit.core.format import format_count
from evalkit.report import diff_content
from evalkit.report.content import value_cell
from evalkit.report.model import Diff, VersionMatrix

_MAX_NAMED_METRICS = 5
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class CaseGroup(NamedTuple):
    """Cases that the same versions pass in more than half of their trials; `passing` has their indices."""

    letter: str
    title: str
    passing: tuple[int, ...]
    cases: tuple[MatrixCase, ...]


def as_versions(diff: Diff) -> VersionMatrix:
    """Return a comparison of two runs as one of versions, with intervals and paired tests."""
    runs = (diff.base, diff.candidate)
    versions = [run.header.agent_version for run in runs]
    distinct = all(versions) and versions[0] != versions[1]
    labels = tuple(versions) if distinct else tuple(run.header.id for run in runs)
    return VersionMatrix(
        runs=runs,
        run_ids=tuple(
            ids or (run.header.id,)
            for ids, run in zip((diff.base_runs, diff.candidate_runs), runs, strict=True)
        ),
        labels=labels,
        matrix=build_matrix(runs, labels, diff.tags),
        detailed_case_ids=diff.detailed_case_ids,
    )


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a, b, and c`."""
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"


def is_alike(row: MatrixRow) -> bool:
    """Return whether a metric shows the same value in every version that has one."""
    return len({value_cell(cell.mean, row.unit) for cell in row.cells}) == 1


def leader_text(row: MatrixRow, labels: Sequence[str]) -> str:
    """Return which version is best by more than noise, or which versions are level."""
    if not row.leaders:
        return ""
    if len(row.leaders) == 1:
        return f"★ {labels[row.leaders[0]]} best"
    if len(row.leaders) == len(labels):
        return "both level" if len(labels) == 2 else "all level"
    return f"{join_words([labels[index] for index in sorted(row.leaders)])} level"


def group_cases(shown: VersionMatrix) -> list[CaseGroup]:
    """Return the cases that differ by who passes them, the largest group first, those of none last."""
    groups: dict[tuple[int, ...], list[MatrixCase]] = {}
    for case in shown.matrix.cases:
        counts = enumerate(zip(case.passed, case.trials, strict=True))
        passing = tuple(index for index, (passed, trials) in counts if 2 * passed > trials)
        groups.setdefault(passing, []).append(case)
    everyone = len(shown.labels)
    ordered = sorted(
        groups.items(),
        key=lambda item: (len(item[0]) == 0, len(item[0]) == everyone, -len(item[1])),
    )
    return [
        CaseGroup(
            _LETTERS[number] if number < len(_LETTERS) else str(number + 1),
            _group_title(passing, shown.labels),
            passing,
            tuple(sorted(cases, key=_pass_share)),
        )
        for number, (passing, cases) in enumerate(ordered)
    ]


def _pass_share(case: MatrixCase) -> float:
    """Return the share of passed trials in all versions, by which cases of a group are sorted."""
    return sum(case.passed) / max(sum(case.trials), 1)


def _group_title(passing: Sequence[int], labels: Sequence[str]) -> str:
    if not passing:
        return "none passes more than half"
    failing = [label for index, label in enumerate(labels) if index not in passing]
    names = [labels[index] for index in passing]
    if not failing:
        return "all pass, not always"
    if len(labels) == 2:
        return f"{names[0]} passes, {failing[0]} fails"
    if len(names) == 1:
        return f"only {names[0]} passes"
    if len(failing) == 1:
        return f"only {failing[0]} fails"
    return f"{join_words(names)} pass"


def summarize_versions(shown: VersionMatrix) -> tuple[str, str]:
    """Return which versions are better or worse by more than noise, then what is level and how many cases differ."""
    labels = shown.labels
    rows = [row for row in shown.matrix.rows if row.tag is None and row.leaders]
    worse: dict[int, list[str]] = {index: [] for index in range(len(labels))}
    best: dict[int, list[str]] = {index: [] for index in range(len(labels))}
    for row in rows:
        if len(row.leaders) == 1:
            best[row.leaders[0]].append(row.metric)
        for index, cell in enumerate(row.cells):
            if index not in row.leaders and cell.mean is not None:
                worse[index].append(row.metric)
    cases = len(shown.matrix.cases)
    differ = f"{cases:,} of {format_count(len(shown.matrix.shared), 'case')} differ{'s' if cases == 1 else ''}."
    if not any(worse.values()):
        level = "Both versions are level" if len(labels) == 2 else "All versions are level"
        return f"{level}: no difference of a metric is more than noise.", differ
    if len(labels) == 2:
        return _compare_two(labels, worse), differ
    losers = sorted((n for n in worse if worse[n]), key=lambda n: -len(worse[n]))
    lead = [
        f"{labels[n]} is worse than the best on {_metrics_text(worse[n], len(rows))}"
        for n in losers
    ]
    equals = [labels[n] for n in worse if not worse[n]]
    rest = []
    if len(equals) > 1:
        rest.append(f"{join_words(equals)} are level.")
    elif equals:
        rest.append(f"{equals[0]} is best, or level with the best, on every metric.")
    rest += [
        f"{labels[n]} is best on {_metrics_text(metrics, len(rows))}."
        for n, metrics in best.items()
        if metrics and worse[n]
    ]
    return f"{'; '.join(lead)}.", " ".join((*rest, differ))


def _compare_two(labels: Sequence[str], worse: dict[int, list[str]]) -> str:
    """Return what the second version does worse and better than the first."""
    parts = [
        f"{word} than {labels[0]} on {_metrics_text(metrics, 0)}"
        if word == "worse" or not worse[1]
        else f"{word} on {_metrics_text(metrics, 0)}"
        for word, metrics in (("worse", worse[1]), ("better", worse[0]))
        if metrics
    ]
    return f"{labels[1]} is {', and '.join(parts)}."


def _metrics_text(metrics: Sequence[str], total: int) -> str:
    if len(metrics) <= _MAX_NAMED_METRICS:
        return join_words(metrics)
    of_all = f" of {total}" if total else ""
    return f"{len(metrics)}{of_all} metrics"


def change_class(row: MatrixRow, index: int) -> str:
    """Return `pass` or `fail` if a version is better or worse than the first by the test, else empty."""
    first, own = 0 in row.leaders, index in row.leaders
    if not row.leaders or first == own or row.cells[index].change is None:
        return ""
    return "pass" if own else "fail"


def case_group_texts(groups: Sequence[CaseGroup]) -> list[str]:
    """Return each group as a sentence, for readers who do not see the plot."""
    return [
        f"{group.letter}: {format_count(len(group.cases), 'case')}, {group.title}"
        for group in groups
    ]


def row_finding(row: MatrixRow, labels: Sequence[str]) -> str:
    """Return the means of a metric with their intervals, and who is best."""
    means = [
        f"{label} {diff_content.mean_with_interval(cell, row.unit)}"
        for label, cell in zip(labels, row.cells, strict=True)
    ]
    text = f"{diff_content.row_name(row)}: {'; '.join(means)}"
    leaders = leader_text(row, labels).removeprefix("★ ")
    return f"{text}. {leaders}." if leaders else f"{text}."
