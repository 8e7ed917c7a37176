"""Declare the keys of the JSON documents that compare two runs, or three or more versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from evalkit.compare.matrix import MatrixCase
from evalkit.core.gate_result import Comparison
from evalkit.report.documents import DiffTextDocument, RunDocument


class VersionDocument(TypedDict):
    """One version of a matrix, with the ids of the runs that are pooled in it."""

    label: str
    run: RunDocument
    runs: tuple[str, ...]


class MatrixCellDocument(TypedDict):
    """One metric of one version; a value that is unknown or not comparable is null.

    Attributes:
        low: Lower end of the 90% interval of the mean.
        high: Upper end of the same interval.
        difference: Change from the first version, over the cases that both scored.
        cases: The number of cases behind the difference.
    """

    mean: float | None
    low: float | None
    high: float | None
    scored: int
    due: int
    difference: float | None
    cases: int


class MatrixMetricDocument(TypedDict):
    """One metric of every version, in the order of `versions`.

    Attributes:
        leaders: The index of the version with the best mean, then those of the versions that are level with
            it by the paired test; empty if fewer than two versions can be compared.
    """

    metric: str
    tag: str | None
    unit: str
    higher_is_better: bool
    versions: list[MatrixCellDocument]
    leaders: tuple[int, ...]


class MatrixTextDocument(TypedDict):
    """The output of each version for a case named by `--case`; null if a version has none."""

    case_id: str
    versions: list[str | None]


class MatrixDocument(TypedDict):
    """Three or more versions compared with the first. `diff` prints it.

    Attributes:
        shared_cases: The cases that are equal in all versions; all results are for these cases.
        cases: The cases whose results differ, sorted by the number of versions that pass them.
    """

    schema: Literal["evalkit.matrix/v1"]
    versions: list[VersionDocument]
    shared_cases: tuple[str, ...]
    metrics: list[MatrixMetricDocument]
    cases: tuple[MatrixCase, ...]
    texts: list[MatrixTextDocument]
    notes: tuple[str, ...]


class DiffDocument(TypedDict):
    """Two runs compared. `diff` prints it.

    Attributes:
        runs: The ids of the runs behind each side; several if runs of a version are pooled.
        metrics: The metrics of both sides over the cases that are the same, base first, with intervals.
    """

    schema: Literal["evalkit.diff/v1"]
    base: RunDocument
    candidate: RunDocument
    comparison: Comparison
    runs: Mapping[Literal["base", "candidate"], tuple[str, ...]]
    metrics: list[MatrixMetricDocument]
    texts: list[DiffTextDocument]
