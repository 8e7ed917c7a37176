"""A judged run as a terminal shows it: the verdict and its reason first, then what is behind it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.reports.facts import (
    CALL_TITLES,
    OUTCOME_WORDS,
    call_rows,
    check_sentence,
    checks_by_urgency,
    gate_rows,
    metric_rows,
    outcome_word,
    reason_words,
    run_facts,
    tag_rows,
    unit_of,
    unsaid_checks,
)
from evalkit.reports.layout import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    Style,
    align,
    finish,
    heading,
)
from evalkit.reports.numbers import allowed_text, check_texts
from evalkit.reports.report import Report
from evalkit.reports.standing import (
    ASIDE,
    CaseResult,
    Standing,
    case_results,
    name_cases,
    passes_change,
    reason_text,
    standing_words,
    worst_first,
)
from evalkit.spelling import count_of, name_rule
from evalkit.verdict import Check

MOST_ROWS = 20
_MOST_SENTENCES = 8
_LONGEST_COMMAND = 500

_STANDING_STYLES: dict[Standing, Style] = {"regressed": "bad", "failing": "bad", "error": "warn"}


def _headline(report: Report, screen: Screen) -> list[str]:
    verdict = report.verdict
    word = OUTCOME_WORDS[verdict.outcome]
    sentence = f"{report.run.header.evalset}: {reason_words(verdict)}"
    lines = screen.fold(sentence, indent=f"{word}  ", hang=" " * (len(word) + 2))
    return screen.paint_start(lines, word, OUTCOME_STYLES[verdict.outcome])


def _facts(report: Report, screen: Screen) -> list[str]:
    facts = run_facts(report)
    longest = max(len(label) for label, _ in facts)
    lines = []
    for label, fact in facts:
        padded = f"  {label.ljust(longest)}  "
        folded = screen.fold(fact, indent=padded, hang=" " * len(padded))
        lines += screen.paint_start(folded, padded, "dim")
    return lines


def _thresholds(report: Report, screen: Screen, most: int) -> list[str]:
    checks = checks_by_urgency(report.verdict)
    if not checks:
        return []
    compares = any(check.baseline is not None for check in checks)
    rows = []
    for check in checks[:most]:
        unit = unit_of(report, check)
        baseline, candidate, change = check_texts(check, unit)
        rows.append(
            (
                Cell(
                    outcome_word(check), "dim" if check.advisory else OUTCOME_STYLES[check.outcome]
                ),
                Cell(name_rule(check.rule)),
                Cell(baseline if compares else ""),
                Cell(candidate),
                Cell(change if compares else ""),
                Cell(allowed_text(check.rule, unit)),
            )
        )
    compared = ("baseline", "this run", "change") if compares else ("", "this run", "")
    titles = ("", "", *compared, "allowed")
    lines = [heading("Thresholds", screen)]
    lines += align(
        rows, screen, titles=titles, shrinkable={1: 12, 5: 10}, right=frozenset({2, 3, 4})
    )
    lines += _and_more(report, len(checks) - most, screen)
    for check in unsaid_checks(report.verdict)[:_MOST_SENTENCES]:
        lines += ["", *_sentence(check, screen)]
    return lines


def _sentence(check: Check, screen: Screen) -> list[str]:
    word, style = OUTCOME_WORDS[check.outcome], OUTCOME_STYLES[check.outcome]
    lines = screen.fold(check_sentence(check), indent="  ", hang="  ")
    return screen.paint_start(lines, word, style, indent="  ")


def _and_more(report: Report, left_out: int, screen: Screen) -> list[str]:
    if left_out <= 0:
        return []
    command = f"evalkit show {report.run.header.id}"
    return screen.fold(f"and {left_out:,} more: {command}", indent="  ", hang="    ")


def _cases(report: Report, results: Sequence[CaseResult], screen: Screen, most: int) -> list[str]:
    lines = screen.fold(f"Cases: {standing_words(results)}", hang="  ")
    lines = screen.paint_start(lines, "Cases", "bold")
    broken = worst_first(results)
    rows = [
        (
            Cell(result.standing, _STANDING_STYLES[result.standing]),
            Cell(result.case.id),
            Cell(passes_change(result)),
            Cell(reason_text(result)),
        )
        for result in broken[:most]
    ]
    lines += align(rows, screen, shrinkable={3: 22, 1: 12})
    lines += _and_more(report, len(broken) - most, screen)
    lines += _commonest_error(broken, lines, screen)
    for standing, title in ASIDE.items():
        aside = [result for result in results if result.standing == standing]
        if aside:
            lines += screen.fold(f"{title}: {name_cases(aside)}", indent="  ", hang="    ")
    return lines


def _commonest_error(
    broken: Sequence[CaseResult], shown: Sequence[str], screen: Screen
) -> list[str]:
    """What kept most cases from being scored, whole, where no row had the room to say what to do."""
    reasons = Counter(reason_text(result) for result in broken if result.standing == "error")
    if not reasons:
        return []
    reason, cases = reasons.most_common(1)[0]
    if any(screen.show(reason, len(reason)) in line for line in shown):
        return []
    return screen.fold(
        f"The error of {count_of(cases, 'case')}: {reason}", indent="  ", hang="    "
    )


def _metrics(report: Report, screen: Screen) -> list[str]:
    rows = [tuple(map(Cell, row)) for row in metric_rows(report.verdict)]
    if not rows:
        return []
    return [
        heading("Metrics", screen),
        *align(rows, screen, shrinkable={0: 12}, right=frozenset({1})),
    ]


def _calls(report: Report, screen: Screen, most: int) -> list[str]:
    found = call_rows(report.calls)
    if not found:
        return []
    rows = [tuple(map(Cell, row)) for row in found[:most]]
    return [
        heading("Calls", screen),
        *align(
            rows,
            screen,
            titles=CALL_TITLES,
            shrinkable={6: 12, 0: 12},
            right=frozenset({1, 2, 3, 4, 5}),
        ),
        *_and_more(report, len(found) - most, screen),
    ]


def _tags(report: Report, screen: Screen, most: int) -> list[str]:
    columns = max((screen.columns - 26) // 18, 1)
    titles, rows = tag_rows(report, columns)
    if not rows:
        return []
    table = [tuple(map(Cell, row)) for row in rows[:most]]
    shrinkable = {0: 12, **dict.fromkeys(range(2, len(titles)), 14)}
    right = frozenset(range(1, len(titles)))
    return [
        heading("Tags", screen),
        *align(table, screen, titles=titles, shrinkable=shrinkable, right=right),
        *_and_more(report, len(rows) - most, screen),
    ]


def _gate_edits(report: Report, screen: Screen, most: int) -> list[str]:
    rows = gate_rows(report.verdict)
    if not rows:
        return []
    lines = [heading("Edits of the gate", screen)]
    for word, sentence in rows[:most]:
        padded = f"  {word.ljust(8)}  "
        folded = screen.fold(sentence, indent=padded, hang=" " * len(padded))
        style: Style = "bad" if word == "LOOSENS" else "dim"
        lines += screen.paint_start(folded, padded, style)
    return lines + _and_more(report, len(rows) - most, screen)


def _notes(report: Report, screen: Screen, most: int) -> list[str]:
    notes = report.verdict.notes
    if not notes:
        return []
    lines = [heading("Notes", screen)]
    for note in notes[:most]:
        lines += screen.fold(note, indent="  - ", hang="    ")
    return lines + _and_more(report, len(notes) - most, screen)


def _next(report: Report, screen: Screen) -> list[str]:
    if not report.hints:
        return []
    lines = [heading("Next", screen)]
    rows = [(Cell(hint.label, "dim"), Cell(hint.command)) for hint in report.hints]
    if all(len(label.text) + len(command.text) + 4 <= screen.columns for label, command in rows):
        return lines + align(rows, screen, shrinkable={})
    for hint in report.hints:  # a command cut or folded could not be copied
        lines += screen.fold(f"{hint.label}:", indent="  ", hang="  ")
        lines.append(f"    {screen.show(hint.command, _LONGEST_COMMAND)}")
    return lines


def render_terminal(report: Report, screen: Screen, *, rows: int | None = MOST_ROWS) -> str:
    """Render a judged run for a screen, with at most so many rows to a table; None for all of them."""
    most = sys.maxsize if rows is None else rows
    results = case_results(report)
    return finish(
        [
            _headline(report, screen),
            _facts(report, screen),
            _gate_edits(report, screen, most),
            _thresholds(report, screen, most),
            _cases(report, results, screen, most),
            _metrics(report, screen),
            _calls(report, screen, most),
            _tags(report, screen, most),
            _notes(report, screen, most),
            _next(report, screen),
        ]
    )


def written_text(report: Report, paths: Sequence[Path], screen: Screen) -> str:
    """Where the reports on a run were written, and what it came to."""
    word = OUTCOME_WORDS[report.verdict.outcome]
    lines = [f"{path}: {word}, run {report.run.header.id}" for path in paths]
    return finish([[part for line in lines for part in screen.fold(line, hang="  ")]])
