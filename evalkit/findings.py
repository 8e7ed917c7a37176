"""What the commands beside a run come to, as records: a recorded baseline, a checked set, a preview."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.records import Run
from evalkit.verdict import MetricSummary, Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The baseline that was written, what it holds, and how many trials a case the old one had."""

    path: Path
    run: Run
    tally: Tally
    summaries: tuple[MetricSummary, ...]
    replaced_trials: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSet:
    """A sound eval set in numbers: how many cases each metric scores and each tag has."""

    path: str
    name: str
    cases: int
    rules: int
    scored_by: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The size of a run; costs are None where no stored trial tells what one costs.

    `most_trials` may be run of each case if those before them decide nothing; calls and cost are those
    of the first `trials`.
    """

    evalset: str
    agent: str
    case_ids: tuple[str, ...]
    cases_in_set: int
    trials: int
    most_trials: int
    agent_calls: int
    cost_usd: float | None
    metrics: tuple[str, ...]
    baseline_trials: int
