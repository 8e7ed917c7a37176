"""What a report on three or more versions shows."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.compare.matrix import Matrix
from evalkit.core.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionMatrix:
    """Two or more runs and their comparison; `run_ids` lists the stored runs behind each."""

    runs: tuple[Run, ...]
    run_ids: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    matrix: Matrix
    detailed_case_ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
