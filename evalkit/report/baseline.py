"""Render the result of `evalkit baseline`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.core.format import format_count
from evalkit.core.gate_result import MetricSummary, Tally
from evalkit.core.run import Run
from evalkit.core.safe_text import format_json
from evalkit.report.numbers import value_cell
from evalkit.report.screen import Screen
from evalkit.report.validate import _join_folded


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedBaseline:
    """The baseline that was written, what it holds, and how many trials a case the old one had."""

    path: Path
    run: Run
    tally: Tally
    summaries: tuple[MetricSummary, ...]
    replaced_trials: int = 0


def baseline_text(recorded: RecordedBaseline, screen: Screen) -> str:
    """What a baseline holds and what to do with it."""
    header = recorded.run.header
    size = f"{format_count(len(header.cases), 'case')}, {format_count(header.trials, 'trial')} each"
    lines = [
        f"Baseline of {header.evalset} written to {recorded.path}",
        f"{size}, agent {header.agent_version}",
        *(
            f"  {summary.metric}: {value_cell(summary.mean, summary.unit)}"
            for summary in recorded.summaries
            if summary.tag is None
        ),
        "Review it and commit it: later runs are compared with it.",
    ]
    if recorded.replaced_trials > header.trials:
        lines.append(
            f"The old one had {recorded.replaced_trials} trials of each case and saw smaller drops. "
            f"To record as many again: evalkit baseline without --from."
        )
    return _join_folded(lines, screen)


def baseline_json(recorded: RecordedBaseline) -> str:
    """The same for programs."""
    return format_json(
        {
            "schema": "evalkit.recorded/v1",
            "path": str(recorded.path),
            "run": recorded.run.header.id,
            "evalset": recorded.run.header.evalset,
            "agent_version": recorded.run.header.agent_version,
            "cases": len(recorded.run.header.cases),
            "trials": recorded.run.header.trials,
            "metrics": {
                summary.metric: summary.mean
                for summary in recorded.summaries
                if summary.tag is None
            },
        }
    )
