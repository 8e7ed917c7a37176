"""Define what a site needs of the commands, and what the server needs of a viewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evalkit.compare.history import HistoryResult
from evalkit.core.run import RunHeader
from evalkit.view.catalog import StoredRun
from evalkit.view.messages import SitePage
from evalkit.view.progress import Passes


class StoreReader(Protocol):
    """Reads the store of one project, and renders the pages of `report`, `diff`, and `history`.

    Raises (every method):
        EvalkitError: what is asked for cannot be read.
    """

    root: Path
    """The root of the project."""

    def render_report(self, run_id: str, find_case_page: Callable[[str], str]) -> str:
        """Return the page with the report on a run, with links to the pages of cases that have one."""

    def read_result(self, run: StoredRun) -> HistoryResult | None:
        """Return the gate result of a finished run; None if it has none of its own."""

    def list_case_ids(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of a run, in the order of the set."""

    def list_failing_cases(self, run_id: str) -> Sequence[str]:
        """Return the ids of the cases of which a trial fails or has an error, in the order of the set."""

    def render_case(self, run_id: str, case_id: str, *, home: str, run_href: str) -> str:
        """Return the page of a case, with links to the home page and to the report of its run."""

    def render_diff(self, base: str, candidate: str) -> str:
        """Return the page that compares two runs; `base` may be `baseline`."""

    def render_history(self, evalset_path: str) -> str:
        """Return the page with the history of a set."""

    def has_baseline(self, run: StoredRun) -> bool:
        """Return whether there is a baseline to compare a run with."""

    def count_baseline_passes(self, header: RunHeader) -> Mapping[str, Passes]:
        """Return the passes of each case in the baseline that a run will be compared with."""

    def suggest_resume(self, run_id: str) -> str:
        """Return the command that continues an unfinished run."""


class PageSource(Protocol):
    """Renders the pages that a server serves; its methods are called in several threads.

    Raises (every method):
        EvalkitError: the store cannot be read.
    """

    def render(self, address: str) -> SitePage | None:
        """Return the page with an address; None if there is none."""

    def describe_event(self, address: str) -> dict[str, Any]:
        """Return what a page that follows the store has to know: live panels, figures, and a version."""

    def decide_missing(self) -> bool:
        """Find more of the results that pages lack; return whether some are still missing."""
