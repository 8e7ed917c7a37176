"""The records a renderer takes: a judged run, two runs side by side, one case of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.compare.call_stats import CallStats
from evalkit.compare.matrix import Matrix
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import Comparison, GateResult
from evalkit.core.run import Run
from evalkit.store.span_file import SpansByTrial


class Hint(NamedTuple):
    """A command worth typing next, and what for."""

    label: str
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that is shown of one judged run; `baseline` is what it was compared with.

    `calls` sums up what its trials called, by tool and by model; `spans` are their steps, which are
    stored apart from the trials.
    """

    run: Run
    gate_result: GateResult
    baseline: Run | None = None
    hints: tuple[Hint, ...] = ()
    calls: tuple[CallStats, ...] = ()
    spans: SpansByTrial = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """Two runs side by side; of the cases in `texts_of` outputs and steps are shown as well.

    A side made of several runs of a version has their ids in `base_runs` or `candidate_runs`. With `tags`
    only these are shown of all tags.
    """

    comparison: Comparison
    base: Run
    candidate: Run
    detailed_case_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base_runs: tuple[str, ...] = ()
    candidate_runs: tuple[str, ...] = ()
    base_spans: SpansByTrial = field(default_factory=dict)
    candidate_spans: SpansByTrial = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionMatrix:
    """Three runs or more side by side; `run_ids` are, for each, the runs its trials are from."""

    runs: tuple[Run, ...]
    run_ids: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    matrix: Matrix
    detailed_case_ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDetails:
    """One case of a run with the spans of its trials, and the baseline's side of it if there is one."""

    run: Run
    case: Case
    baseline: Run | None = None
    spans: SpansByTrial = field(default_factory=dict)
