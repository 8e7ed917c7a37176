"""Remember the gate results of runs. Those that are not stored are computed in the background."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from evalkit.compare.history import HistoryResult
from evalkit.core.errors import EvalkitError
from evalkit.view.catalog import Marks, StoredRun
from evalkit.view.overview import PENDING, KnownResult

_MAX_RESULTS = 10_000


class Results:
    """The results of runs by the content of their files, the oldest ones forgotten.

    `read` returns a run's result from its file and raises EvalkitError if that fails; it may take seconds
    for a run that stored none.
    """

    def __init__(self, read: Callable[[StoredRun], HistoryResult | None]) -> None:
        self._read = read
        self._known: OrderedDict[tuple[str, Marks], KnownResult] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, run: StoredRun) -> KnownResult:
        """Return what is known of the result of a run, without reading anything."""
        if not run.is_gated:
            return KnownResult()
        with self._lock:
            return self._known.get((run.id, run.marks), PENDING)

    def compute(self, run: StoredRun) -> KnownResult:
        """Return the result of a run, and remember it."""
        known = self.find(run)
        if not known.is_pending:
            return known
        try:
            known = KnownResult(self._read(run))
        except (EvalkitError, OSError) as error:
            known = KnownResult(problem=str(error))
        with self._lock:
            self._known[run.id, run.marks] = known
            while len(self._known) > _MAX_RESULTS:
                self._known.popitem(last=False)
        return known

    def compute_all(
        self, runs: Iterable[StoredRun], limit_s: float | None
    ) -> tuple[StoredRun, ...]:
        """Compute results until the time is up; return the runs whose results are still unknown.

        Args:
            runs: the runs, the most important ones first.
            limit_s: the seconds to spend; None for as long as it takes.
        """
        end_s = None if limit_s is None else time.monotonic() + limit_s
        left = []
        for run in runs:
            if end_s is not None and time.monotonic() > end_s:
                if self.find(run).is_pending:
                    left.append(run)
            else:
                self.compute(run)
        return tuple(left)
