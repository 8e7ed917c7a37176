"""Show the result of a gate on traffic in a terminal."""

from __future__ import annotations

from evalkit.core.format import format_count, name_rule
from evalkit.core.literals import Outcome
from evalkit.core.safe_text import cell_width
from evalkit.report import content
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    align_columns,
    heading,
    join_sections,
)
from evalkit.report.threshold_lines import interval_text
from evalkit.traffic.gate_records import TrafficCheck
from evalkit.traffic.gate_result import TrafficGate
from evalkit.traffic.periods import Period

_PARTICIPLES: dict[Outcome, str] = {
    "pass": "hold", "fail": "failed", "inconclusive": "inconclusive", "undecided": "undecided",
}  # fmt: skip
_TITLES = ("", "", "before", "now", "allowed", "interval")


def gate_text(gate: TrafficGate, screen: Screen) -> str:
    """Return the result for people: the verdict first and last, and the thresholds between."""
    result = gate.result
    verdict = screen.fold(f"{result.word}: {result.reason}")
    periods = [heading(title_text(gate), screen)]
    for each in (gate.candidate, *gate.earlier):
        periods += screen.fold(period_text(each), indent="  ", hang="    ")
    shown = sorted(gate.checks, key=lambda each: content.URGENCY.index(each.check.outcome))
    table = align_columns(
        [_row(each) for each in shown],
        screen,
        titles=_TITLES,
        shrinkable={1: 12, 5: 10, 4: 10},
        right=(2, 3),
    )
    sentences = [
        line
        for each in shown
        if _needs_sentence(each, result.reason)
        for line in screen.fold(content.check_sentence(each.check), indent="  ", hang="  ")
    ]
    notes = [
        line for note in all_notes(gate) for line in screen.fold(note, indent="  ", hang="    ")
    ]
    return join_sections(
        [
            screen.paint_start(verdict, result.word, OUTCOME_STYLES[result.outcome]),
            periods,
            table,
            sentences,
            notes,
            [_closing_line(gate, screen)],
        ]
    )


def _needs_sentence(each: TrafficCheck, reason: str) -> bool:
    """Return whether neither the table nor the reason of the result says what the sentence says."""
    check = each.check
    sentence = check.sentence.removeprefix(f"{content.outcome_word(check)} ")
    cause = sentence.removeprefix(f"{name_rule(check.rule)}: ")
    return check.outcome != "pass" and cause not in reason and not each.is_in_table


def title_text(gate: TrafficGate) -> str:
    """Return what was compared with what."""
    if not gate.earlier:
        return f"Traffic {gate.candidate.label}"
    how = "on the same days as" if gate.is_concurrent else "against"
    return f"Traffic {gate.candidate.label} {how} {', '.join(each.label for each in gate.earlier)}"


def period_text(period: Period) -> str:
    """Return the size of a period."""
    days = period.days
    return (
        f"{period.label}: {days[0]} to {days[-1]}, {format_count(len(days), 'day')}, "
        f"{format_count(period.requests, 'request')}, {format_count(period.users, 'user')}"
    )


def all_notes(gate: TrafficGate) -> list[str]:
    """Return where the gate came from, the edits to it, and the notes on the data."""
    result = gate.result
    edits = [] if result.gate is None else [
        f"{'loosens the gate' if each.loosened else 'edit of the gate'}: {each}" for each in result.gate.changes
    ]  # fmt: skip
    source = [f"gate definition: as of {result.gate.base}"] if result.gate else []
    return [*filter(None, (result.definition_sentence, *source)), *edits, *result.notes]


def _row(each: TrafficCheck) -> tuple[Cell | str, ...]:
    check, unit = each.check, each.unit
    before, now, _ = content.check_cells(check, unit)
    interval = interval_text(check, unit)
    return (
        Cell(content.outcome_word(check), OUTCOME_STYLES[check.outcome]),
        name_rule(check.rule),
        before.replace(content.NO_VALUE, ""),
        now,
        content.limit_cell(check.rule, unit),
        interval,
    )


def _closing_line(gate: TrafficGate, screen: Screen) -> str:
    result = gate.result
    alike = sum(each.outcome == result.outcome for each in result.checks)
    parts = [
        screen.show(gate.candidate.name, 40),
        f"{alike} of {format_count(len(result.checks), 'threshold')} {_PARTICIPLES[result.outcome]}",
        format_count(gate.candidate.requests, "request"),
    ]
    end = f"exit {result.exit_code}"
    # Where they do not fit, the least important parts are left out.
    while parts and cell_width("  ".join((result.word, *parts, end))) > screen.columns:
        parts.pop()
    return "  ".join((screen.paint(result.word, OUTCOME_STYLES[result.outcome]), *parts, end))
