"""Declare the keys of the JSON document of a matrix, which compares three or more versions."""

from __future__ import annotations

from typing import Literal, TypedDict

from evalkit.compare.matrix import MatrixCase
from evalkit.report.documents import RunDocument


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
    """One metric of every version, in the order of `versions`."""

    metric: str
    tag: str | None
    unit: str
    higher_is_better: bool
    versions: list[MatrixCellDocument]


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
