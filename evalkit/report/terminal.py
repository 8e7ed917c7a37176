"""Render a run for a terminal: the gate result with its reason, then the details."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import Check
from evalkit.core.literals import CaseStatus
from evalkit.report import case_status, content
from evalkit.report.breakage import BREAKAGE_TITLES, breakage_rows, breakage_sentences
from evalkit.report.model import Report
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    Style,
    align_columns,
    heading,
    join_sections,
)

MAX_TABLE_ROWS = 20
_MAX_SENTENCES = 8
_MAX_COMMAND_CHARS = 500

_STATUS_STYLES: dict[CaseStatus, Style] = {
    "regressed": "bad",
    "failing": "bad",
    "error": "warn",
    "flaky": "warn",
}


def _headline(report: Report, screen: Screen) -> list[str]:
    gate_result = report.gate_result
    word = gate_result.word
    sentence = f"{report.run.header.evalset}: {content.gate_reason(gate_result)}"
    lines = screen.fold(sentence, indent=f"{word}  ", hang=" " * (len(word) + 2))
    lines = screen.paint_start(lines, word, OUTCOME_STYLES[gate_result.outcome])
    source = gate_result.definition
    if source is None:
        return lines
    folded = screen.fold(gate_result.definition_sentence, indent="  ", hang="  ")
    style: Style = "warn" if source.warning else "dim"
    return [*lines, *screen.paint_start(folded, "gate definition:", style, indent="  ")]


def _run_lines(report: Report, screen: Screen) -> list[str]:
    rows = content.run_rows(report.run, report.gate_result, report.baseline)
    longest = max(len(label) for label, _ in rows)
    lines = []
    for label, text in rows:
        padded = f"  {label.ljust(longest)}  "
        folded = screen.fold(text, indent=padded, hang=" " * len(padded))
        lines += screen.paint_start(folded, padded, "dim")
    return lines


def _thresholds(report: Report, screen: Screen, limit: int) -> list[str]:
    checks = content.checks_by_urgency(report.gate_result)
    if not checks:
        return []
    # Without a baseline, leave its columns out.
    compares = any(check.baseline is not None for check in checks)
    rows = []
    for check in checks[:limit]:
        unit = content.unit_of(report.run.header, check)
        baseline, candidate, change = content.check_cells(check, unit)
        rows.append(
            (
                Cell(
                    content.outcome_word(check),
                    "dim" if check.advisory else OUTCOME_STYLES[check.outcome],
                ),
                name_rule(check.rule),
                (baseline if compares else ""),
                candidate,
                (change if compares else ""),
                content.limit_cell(check.rule, unit),
            )
        )
    compared = ("baseline", "this run", "change") if compares else ("", "this run", "")
    titles = ("", "", *compared, "allowed")
    lines = [heading("Thresholds", screen)]
    lines += align_columns(rows, screen, titles=titles, shrinkable={1: 12, 5: 10}, right=(2, 3, 4))
    lines += _left_out_lines(report, len(checks) - limit, screen)
    for check in content.unreported_checks(report.gate_result)[:_MAX_SENTENCES]:
        lines += ["", *_sentence(check, screen)]
    return lines


def _sentence(check: Check, screen: Screen) -> list[str]:
    word, style = content.OUTCOME_WORDS[check.outcome], OUTCOME_STYLES[check.outcome]
    lines = screen.fold(content.check_sentence(check), indent="  ", hang="  ")
    return screen.paint_start(lines, word, style, indent="  ")


def _left_out_lines(report: Report, left_out: int, screen: Screen) -> list[str]:
    if left_out <= 0:
        return []
    command = f"evalkit show {report.run.header.id}"
    return screen.fold(f"and {left_out:,} more: {command}", indent="  ", hang="    ")


def _cases(
    report: Report, results: Sequence[case_status.CaseResult], screen: Screen, limit: int
) -> list[str]:
    lines = screen.fold(f"Cases: {case_status.status_counts_text(results)}", hang="  ")
    lines = screen.paint_start(lines, "Cases", "bold")
    broken = case_status.worst_first(results)
    rows = [
        (
            Cell(result.label, _STATUS_STYLES.get(result.status, "")),
            result.case.id,
            case_status.passes_change(result.change),
            case_status.reason_text(result),
        )
        for result in broken[:limit]
    ]
    lines += align_columns(rows, screen, shrinkable={3: 22, 1: 12})
    lines += _left_out_lines(report, len(broken) - limit, screen)
    lines += _most_common_error(broken, lines, screen)
    for title, of_status in case_status.secondary_cases(results):
        names = case_status.cases_with_passes(of_status)
        lines += screen.fold(f"{title}: {names}", indent="  ", hang="    ")
    return lines


def _most_common_error(
    broken: Sequence[case_status.CaseResult], shown: Sequence[str], screen: Screen
) -> list[str]:
    """Return the most common error in full, unless a row already shows all of it."""
    reasons = Counter(
        case_status.reason_text(result) for result in broken if result.status == "error"
    )
    if not reasons:
        return []
    reason, cases = reasons.most_common(1)[0]
    if any(screen.show(reason, len(reason)) in line for line in shown):
        return []
    return screen.fold(
        f"Error of {format_count(cases, 'case')}: {reason}", indent="  ", hang="    "
    )


def _breakage(report: Report, screen: Screen) -> list[str]:
    sentences = breakage_sentences(report.breakage)
    if not sentences:
        return []
    rows = align_columns(
        breakage_rows(report.breakage),
        screen,
        titles=BREAKAGE_TITLES,
        shrinkable={0: 22},
        right=(1, 2, 3),
    )
    return [
        heading("Where it broke", screen),
        *rows,
        *screen.fold_all(sentences, indent="  ", hang="  "),
    ]


def _metrics(report: Report, screen: Screen) -> list[str]:
    rows = content.metric_rows(report.gate_result)
    lines = align_columns(rows, screen, shrinkable={0: 12}, right=(1,))
    return [heading("Metrics, means over cases", screen), *lines] if rows else []


def _calls(report: Report, screen: Screen, limit: int) -> list[str]:
    rows = content.call_rows(report.calls)
    lines = align_columns(
        rows[:limit],
        screen,
        titles=content.CALL_TITLES,
        shrinkable={6: 12, 0: 12},
        right=range(1, 6),
    )
    lines += _left_out_lines(report, len(rows) - limit, screen)
    return [heading("Calls", screen), *lines] if rows else []


def _tags(report: Report, screen: Screen, limit: int) -> list[str]:
    # 26 cells for the tag and its cases, 18 for each mean with its change.
    columns = max((screen.columns - 26) // 18, 1)
    titles, rows = content.tag_rows(report.run.header, report.gate_result, columns)
    shrinkable = {0: 12, **dict.fromkeys(range(2, len(titles)), 14)}
    right = range(1, len(titles))
    lines = align_columns(rows[:limit], screen, titles=titles, shrinkable=shrinkable, right=right)
    lines += _left_out_lines(report, len(rows) - limit, screen)
    return [heading("Tags", screen), *lines] if rows else []


def _gate_edits(report: Report, screen: Screen, limit: int) -> list[str]:
    rows = content.gate_rows(report.gate_result)
    if not rows:
        return []
    lines = [heading("Edits of the gate", screen)]
    for word, sentence in rows[:limit]:
        padded = f"  {word.ljust(8)}  "
        folded = screen.fold(sentence, indent=padded, hang=" " * len(padded))
        style: Style = "bad" if word == "LOOSENS" else "dim"
        lines += screen.paint_start(folded, padded, style)
    return lines + _left_out_lines(report, len(rows) - limit, screen)


def _notes(report: Report, screen: Screen, limit: int) -> list[str]:
    notes = report.gate_result.notes
    if not notes:
        return []
    lines = [heading("Notes", screen)]
    lines += screen.fold_all(notes[:limit], indent="  - ", hang="    ")
    return lines + _left_out_lines(report, len(notes) - limit, screen)


def _next_steps(report: Report, screen: Screen) -> list[str]:
    if not report.hints:
        return []
    lines = [heading("Next", screen)]
    rows = [(Cell(hint.label, "dim"), hint.command) for hint in report.hints]
    label_width = max(len(label) for label, _ in report.hints)
    if all(label_width + len(command) + 4 <= screen.columns for _, command in report.hints):
        return lines + align_columns(rows, screen, shrinkable={})
    # Do not cut or fold commands, so that they can be copied.
    for hint in report.hints:
        lines += screen.fold(f"{hint.label}:", indent="  ", hang="  ")
        lines.append(f"    {screen.show(hint.command, _MAX_COMMAND_CHARS)}")
    return lines


def render_terminal(report: Report, screen: Screen, *, rows: int | None = MAX_TABLE_ROWS) -> str:
    """Render a run for a screen with at most `rows` rows per table, None for all rows."""
    limit = sys.maxsize if rows is None else rows
    results = case_status.case_results(report.run, report.gate_result, report.baseline)
    return join_sections(
        [
            _headline(report, screen),
            _run_lines(report, screen),
            _gate_edits(report, screen, limit),
            _thresholds(report, screen, limit),
            _cases(report, results, screen, limit),
            _breakage(report, screen),
            _metrics(report, screen),
            _calls(report, screen, limit),
            _tags(report, screen, limit),
            _notes(report, screen, limit),
            _next_steps(report, screen),
        ]
    )


def written_reports_text(report: Report, paths: Sequence[Path], screen: Screen) -> str:
    """Render the paths of written reports, with the outcome of the run."""
    word = report.gate_result.word
    lines = [f"{path}: {word}, run {report.run.header.id}" for path in paths]
    return join_sections([screen.fold_all(lines, hang="  ")])
