"""Define what renderers take: a run with its gate result, two runs, several versions, one case."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from evalkit.compare.breakage import Breakage
from evalkit.compare.call_stats import CallStats
from evalkit.core.calibration import JurorAgreement
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import Comparison, GateResult
from evalkit.core.location import Location
from evalkit.core.run import Run
from evalkit.core.spans import Span
from evalkit.core.trial import Trial
from evalkit.store.span_file import SpansByTrial


class Hint(NamedTuple):
    """A command to type next, and what it is for."""

    label: str
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A run with its gate result and everything else that reports show.

    `baseline` is the run it was compared with. `calls` summarizes the calls of its trials by tool and by
    model. `spans` are the steps of its trials and `base_spans` those of the baseline's, which are stored in
    separate files. `jurors` has the
    agreement of the members of its jury, if it has one. `breakage` says where newly failing cases differ
    first, if a threshold failed. `warnings` were printed before the run started. `took_s` is the time
    that the command took, None for a stored run. `run_name` is the run as an argument of a command.
    `folder` is where the project is in its checkout, empty at the top.
    """

    run: Run
    gate_result: GateResult
    baseline: Run | None = None
    hints: tuple[Hint, ...] = ()
    calls: tuple[CallStats, ...] = ()
    spans: SpansByTrial = field(default_factory=dict)
    base_spans: SpansByTrial = field(default_factory=dict)
    jurors: tuple[JurorAgreement, ...] = ()
    breakage: Breakage | None = None
    warnings: tuple[str, ...] = ()
    took_s: float | None = None
    run_name: str = ""
    folder: str = ""

    def place(self, where: Location) -> Location:
        """Return a location in the project as CI systems need it: from the top of the checkout."""
        if not where.path or not self.folder:
            return where
        return replace(where, path=posixpath.normpath(posixpath.join(self.folder, where.path)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """Two runs and their comparison.

    Outputs and steps are shown for the cases in `detailed_case_ids` only. `base_runs` and
    `candidate_runs` are the ids of the pooled runs where a side is made of several runs of one
    version. If `tags` is not empty, metrics are shown for these tags only. `proven` names the metrics
    whose change an exact paired test proves.
    """

    comparison: Comparison
    base: Run
    candidate: Run
    proven: frozenset[str] = frozenset()
    detailed_case_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base_runs: tuple[str, ...] = ()
    candidate_runs: tuple[str, ...] = ()
    base_spans: SpansByTrial = field(default_factory=dict)
    candidate_spans: SpansByTrial = field(default_factory=dict)

    def find_spans(
        self, base: Trial | None, candidate: Trial | None
    ) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return the spans of a base trial and of a candidate trial."""
        return (
            self.base_spans.get((base.case_id, base.number), ()) if base else (),
            self.candidate_spans.get((candidate.case_id, candidate.number), ())
            if candidate
            else (),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDetails:
    """One case of a run with the spans of its trials, and the baseline run if there is one."""

    run: Run
    case: Case
    baseline: Run | None = None
    spans: SpansByTrial = field(default_factory=dict)
