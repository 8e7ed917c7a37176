"""Turn a comparison of versions into words: who is best, what is level, and which cases who passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.compare.matrix import MatrixCase, MatrixRow, build_matrix
from evalkit.core.format import format_count
from evalkit.report import diff_content
from evalkit.report.content import value_cell
from evalkit.report.model import Diff
from evalkit.report.version_matrix import VersionMatrix

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
    """Return which versions are worse by more than noise, then who is best and how many cases differ."""
    labels = shown.labels
    rows = [row for row in shown.matrix.rows if row.tag is None and row.leaders]
    rows = [row for row in rows if not is_alike(row)]
    cases = len(shown.matrix.cases)
    total = format_count(len(shown.matrix.shared), "case")
    differ = f"{cases:,} of {total} differ{'s' if cases == 1 else ''}."
    worse = [_worse_metrics(rows, index) for index in range(len(labels))]
    if not any(worse):
        level = "Both versions are level" if len(labels) == 2 else "All versions are level"
        return f"{level}: no difference of a metric is more than noise.", differ
    if len(labels) == 2:
        return _compare_two(labels, worse), differ
    shares = [row for row in rows if not row.unit]
    measured = [row for row in rows if row.unit]
    lead, rest = _rank(labels, shares)
    best = [
        f"{labels[index]} on {join_words(metrics)}"
        for index, metrics in enumerate(_best_metrics(measured, len(labels)))
        if metrics
    ]
    if not lead:
        lead, best = f"{_best_text(best)}.", []
    return lead, " ".join(filter(None, (rest, f"{_best_text(best)}." if best else "", differ)))


def _best_text(best: Sequence[str]) -> str:
    """Return who is best at what: `v1 is best on cost, v2 on tokens`."""
    first, *others = best
    return ", ".join((first.replace(" on ", " is best on ", 1), *others))


def _worse_metrics(rows: Sequence[MatrixRow], index: int) -> list[str]:
    """Return the metrics on which a version is worse than the best one by more than noise."""
    return [
        row.metric for row in rows if index not in row.leaders and row.cells[index].mean is not None
    ]


def _best_metrics(rows: Sequence[MatrixRow], count: int) -> list[list[str]]:
    """Return for each version the metrics on which it alone is best."""
    return [[row.metric for row in rows if row.leaders == (index,)] for index in range(count)]


def _rank(labels: Sequence[str], rows: Sequence[MatrixRow]) -> tuple[str, str]:
    """Return which versions are worse than the best on some share, and which never are."""
    worse = [_worse_metrics(rows, index) for index in range(len(labels))]
    losers = sorted((n for n, names in enumerate(worse) if names), key=lambda n: -len(worse[n]))
    if not losers:
        return "", "All versions are level on every share."
    texts = [f"{labels[n]} on {_metrics_text(worse[n], len(rows))}" for n in losers]
    lead = "; ".join((texts[0].replace(" on ", " is worse than the best on ", 1), *texts[1:]))
    winners = [label for label, names in zip(labels, worse, strict=True) if not names]
    if len(winners) > 1:
        return f"{lead}.", f"{join_words(winners)} are level on every share."
    only = f"{winners[0]} is best, or level with the best, on every share." if winners else ""
    return f"{lead}.", only


def _compare_two(labels: Sequence[str], worse: Sequence[Sequence[str]]) -> str:
    """Return what the second version does worse and better than the first."""
    found = [
        (word, _metrics_text(metrics, 0))
        for word, metrics in (("worse", worse[1]), ("better", worse[0]))
        if metrics
    ]
    first, *others = found
    text = f"{labels[1]} is {first[0]} than {labels[0]} on {first[1]}"
    return "".join((text, *(f", and {word} on {names}" for word, names in others), "."))


def _metrics_text(metrics: Sequence[str], total: int) -> str:
    if total and len(metrics) == total > 2:
        return f"all {total} shares that differ"
    if len(metrics) <= _MAX_NAMED_METRICS:
        return join_words(metrics)
    return f"{len(metrics)} of {total} shares" if total else f"{len(metrics)} metrics"


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
