"""Define what a site needs of the commands, and what a page of it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from evalkit.compare.history import HistoryResult
from evalkit.core.run import RunHeader
from evalkit.report.model import CaseDetails, Diff, Report
from evalkit.view.catalog import StoredRun
from evalkit.view.progress import Passes


class StoreReader(Protocol):
    """Reads the store of one project as the commands `report`, `diff`, `history`, and `show` do.

    Raises (every method):
        EvalkitError: what is asked for cannot be read.
    """

    root: Path
    """The root of the project."""

    def read_report(self, run_id: str) -> Report:
        """Return the report on a run."""

    def read_result(self, run: StoredRun) -> HistoryResult | None:
        """Return the gate result of a finished run; None if it has none of its own."""

    def list_case_ids(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of a run, in the order of the set."""

    def list_failing_cases(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of which a trial fails or has an error, in the order of the set."""

    def read_case(self, run_id: str, case_id: str) -> CaseDetails:
        """Return one case of a run in full."""

    def read_diff(self, base: str, candidate: str) -> Diff:
        """Return the comparison of two runs; `base` may be `baseline`."""

    def render_history(self, evalset_path: str) -> str:
        """Return the page with the history of a set."""

    def count_baseline_passes(self, header: RunHeader) -> Mapping[str, Passes]:
        """Return the passes of each case in the baseline that a run will be compared with."""

    def suggest_resume(self, run_id: str) -> str:
        """Return the command that continues an unfinished run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SitePage:
    """A page, and the status with which it is served."""

    html: str
    status: HTTPStatus = HTTPStatus.OK
