"""Render a run for a terminal: one screen that starts and ends with the verdict, or everything."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from evalkit.core.safe_text import cell_width
from evalkit.report import content
from evalkit.report.case_lines import case_lines
from evalkit.report.case_status import CaseResult, case_results
from evalkit.report.closing_line import closing_line
from evalkit.report.model import Hint, Report
from evalkit.report.run_details import (
    ESSENTIAL_ROWS,
    breakage_lines,
    detail_sections,
    run_lines,
)
from evalkit.report.screen import OUTCOME_STYLES, Screen, Style, heading, join_sections
from evalkit.report.threshold_lines import threshold_lines, unexplained_lines
from evalkit.report.verdict import brief_reason, verdict_reason, verdict_word

_MAX_COMMAND_CHARS = 500
_MAX_EDITS = 12


class _Layout(NamedTuple):
    """How much a screen shows: the worst cases, thresholds that hold, the run, where it broke.

    A dense screen has no empty lines, and the first and the last of the commands to type next.
    """

    cases: int
    holds: bool = True
    run: bool = False
    breakage: bool = False
    dense: bool = False


_LAYOUTS = (
    _Layout(10, run=True, breakage=True),
    _Layout(10, breakage=True),
    _Layout(10, run=True),
    _Layout(10),
    _Layout(10, holds=False),
    _Layout(5, run=True),
    _Layout(5),
    _Layout(5, holds=False),
    _Layout(3, holds=False),
    _Layout(1, holds=False),
    _Layout(3, holds=False, dense=True),
    _Layout(1, holds=False, dense=True),
)
"""The layouts of the one-screen report, the richest first: the first that fits is used."""


def render_terminal(report: Report, screen: Screen, *, verbose: bool = False) -> str:
    """Render a run for a screen, in its height; with `verbose`, render every row of every table.

    Both start and end with the verdict. Warnings are always shown, even if they do not fit.
    """
    results = case_results(report.run, report.gate_result, report.baseline)
    if verbose:
        return join_sections(_all_sections(report, results, screen))
    rendered = ""
    for layout in _LAYOUTS:
        sections = _screen_sections(report, results, screen, layout)
        rendered = join_sections([list(chain(*sections))] if layout.dense else sections)
        # The last line of the screen is for the next prompt.
        if rendered.count("\n") < screen.height:
            break
    return rendered


def render_verdict(report: Report, screen: Screen) -> str:
    """Render only the verdict, its reason, and the warnings."""
    return join_sections([verdict_lines(report, screen)])


def _screen_sections(
    report: Report, results: Sequence[CaseResult], screen: Screen, layout: _Layout
) -> Iterator[list[str]]:
    yield verdict_lines(report, screen)
    about = run_lines(report, screen, () if layout.run else ESSENTIAL_ROWS)
    yield [*about, *_gate_edits(report, screen, _MAX_EDITS)]
    yield threshold_lines(report, screen, folds_passes=not layout.holds)
    yield unexplained_lines(report, screen)
    yield case_lines(results, screen, layout.cases)
    yield breakage_lines(report, screen) if layout.breakage else []
    hints = report.hints
    if layout.dense:
        hints = hints[:1] if len(hints) < 2 else (hints[0], hints[-1])
    more = Hint("everything", f"evalkit show {_run_name(report)} -v")
    yield next_lines((*hints, more), screen)
    yield [closing_line(report, screen)]


def _all_sections(
    report: Report, results: Sequence[CaseResult], screen: Screen
) -> Iterator[list[str]]:
    yield verdict_lines(report, screen, verbose=True)
    edits = _gate_edits(report, screen, sys.maxsize)
    yield [heading("Edits of the gate", screen), *edits] if edits else []
    thresholds = threshold_lines(report, screen, folds_passes=False)
    yield [heading("Thresholds", screen), *thresholds] if thresholds else []
    yield case_lines(results, screen)
    yield from detail_sections(report, results, screen)
    # The last advice on a run that failed must not be to accept it.
    failed = report.gate_result.exit_code != 0
    yield next_lines(report.hints[::-1] if failed else report.hints, screen)
    yield [closing_line(report, screen)]


def verdict_lines(report: Report, screen: Screen, *, verbose: bool = False) -> list[str]:
    """Return the verdict with its reason, where the gate came from, and every warning.

    With `verbose`, the reason is in full, and the notes have a section of their own.
    """
    header, gate_result = report.run.header, report.gate_result
    word = verdict_word(header, gate_result)
    say = verdict_reason if verbose else brief_reason
    lines = screen.fold(
        f"{header.evalset}: {say(header, gate_result)}",
        indent=f"{word}  ",
        hang=" " * (len(word) + 2),
    )
    lines = screen.paint_start(lines, word, OUTCOME_STYLES[gate_result.outcome])
    if source := gate_result.definition:
        folded = screen.fold(gate_result.definition_sentence, indent="  ", hang="  ")
        style: Style = "warn" if source.warning else "dim"
        lines += screen.paint_start(folded, "gate definition:", style, indent="  ")
    notes = [note for note in gate_result.notes if note not in gate_result.asides]
    for note in dict.fromkeys((*report.warnings, *(() if verbose else notes))):
        lines += screen.fold(note, indent="  - ", hang="    ")
    return lines


def _gate_edits(report: Report, screen: Screen, most: int) -> list[str]:
    rows = content.gate_rows(report.gate_result)
    lines = []
    for word, sentence in rows[:most]:
        padded = f"  {word.ljust(8)}  "
        folded = screen.fold(sentence, indent=padded, hang=" " * len(padded))
        style: Style = "bad" if word == "LOOSENS" else "dim"
        lines += screen.paint_start(folded, padded, style)
    if len(rows) > most:
        text = f"and {len(rows) - most:,} more: evalkit show {_run_name(report)} -v"
        lines += screen.fold(text, indent="  ", hang="    ")
    return lines


def _run_name(report: Report) -> str:
    return report.run_name or report.run.header.id


def next_lines(hints: Sequence[Hint], screen: Screen) -> list[str]:
    """Return a line for each command to type next, never cut or folded, so that it can be copied."""
    width = max((len(label) for label, _ in hints), default=0)
    lines = []
    for label, command in hints:
        shown = screen.show(command, _MAX_COMMAND_CHARS)
        if width + cell_width(shown) + 4 <= screen.columns:
            lines.append(f"  {screen.paint(label, 'dim')}{' ' * (width - len(label))}  {shown}")
        else:
            lines += [*screen.fold(f"{label}:", indent="  ", hang="  "), f"    {shown}"]
    return lines


def written_reports_text(report: Report, paths: Sequence[Path], screen: Screen) -> str:
    """Render the paths of written reports, with the outcome of the run."""
    word = verdict_word(report.run.header, report.gate_result)
    lines = [f"{path}: {word}, run {report.run.header.id}" for path in paths]
    return join_sections([screen.fold_all(lines, hang="  ")])
