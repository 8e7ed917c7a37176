"""Say the result of a run in the one line that ends its report in a terminal."""

from __future__ import annotations

from evalkit.core.errors import ApprovalNeeded
from evalkit.core.format import format_count, format_duration
from evalkit.core.gate_result import GateResult
from evalkit.core.literals import Outcome
from evalkit.core.run import RunHeader
from evalkit.core.safe_text import cell_width
from evalkit.report import content
from evalkit.report.model import Report
from evalkit.report.screen import OUTCOME_STYLES, Screen
from evalkit.report.verdict import verdict_word

_PARTICIPLES: dict[Outcome, str] = {
    "pass": "hold",
    "fail": "failed",
    "inconclusive": "inconclusive",
    "undecided": "undecided",
}
_MAX_PART_CELLS = 40


def closing_line(report: Report, screen: Screen) -> str:
    """Return the result in one line: word, set, thresholds, size, time, cost, and exit code.

    Where they do not fit, the least important parts are left out, never the word and the exit code.
    """
    header, result = report.run.header, report.gate_result
    word, end = verdict_word(header, result), f"exit {result.exit_code}"
    parts = [
        header.evalset,
        _thresholds_text(header, result),
        _unscored_text(result),
        _scope_text(header),
        "" if report.took_s is None else format_duration(report.took_s),
        _cost_text(report),
    ]
    # The name and the shard are data.
    kept = [screen.show(part, _MAX_PART_CELLS) for part in parts if part]
    while kept and cell_width("  ".join((word, *kept, end))) > screen.columns:
        kept.pop()
    return "  ".join((screen.paint(word, OUTCOME_STYLES[result.outcome]), *kept, end))


def _thresholds_text(header: RunHeader, result: GateResult) -> str:
    if result.exit_code == ApprovalNeeded.exit_code:
        return "needs approval"
    if result.exit_code > 128:
        return "interrupted"
    if header.shard:
        return f"shard {header.shard}"
    enforced = [check for check in result.checks if not check.advisory]
    alike = sum(check.outcome == result.outcome for check in enforced)
    if not enforced:
        return "no threshold"
    if not alike:
        return "not decided"
    return f"{alike} of {format_count(len(enforced), 'threshold')} {_PARTICIPLES[result.outcome]}"


def _unscored_text(result: GateResult) -> str:
    not_run = result.tally.counts["not_run"]
    errors = result.tally.errors - not_run
    found = (format_count(errors, "error") * bool(errors), f"{not_run:,} not run" * bool(not_run))
    return ", ".join(filter(None, found))


def _scope_text(header: RunHeader) -> str:
    cases = format_count(len(header.cases), "case")
    if len(header.cases) < header.cases_in_set:
        cases = f"{len(header.cases):,} of {format_count(header.cases_in_set, 'case')}"
    return f"{cases} x {header.trials_text}"


def _cost_text(report: Report) -> str:
    trials = (*report.run.trials, *report.run.fresh)
    costs = [each.output.cost_usd for each in trials if each.output.cost_usd is not None]
    return content.value_cell(sum(costs), "usd") if costs else ""
