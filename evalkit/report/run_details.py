"""Render what a run measured beside its result: run, metrics, calls, tags, notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.report import case_status, content
from evalkit.report.breakage import BREAKAGE_TITLES, breakage_rows, breakage_sentences
from evalkit.report.call_rows import CALL_TITLES, call_rows
from evalkit.report.case_lines import secondary_lines
from evalkit.report.model import Report
from evalkit.report.screen import Screen, align_columns, heading

ESSENTIAL_ROWS = ("gate", "outputs", "cache")
"""The rows about a run that say what its result rests on."""


def run_lines(report: Report, screen: Screen, labels: Sequence[str] = ()) -> list[str]:
    """Return labels and texts about the run; with `labels`, only those rows."""
    rows = content.run_rows(report.run, report.gate_result, report.baseline)
    rows = [row for row in rows if not labels or row[0] in labels]
    longest = max((len(label) for label, _ in rows), default=0)
    lines = []
    for label, text in rows:
        padded = f"  {label.ljust(longest)}  "
        folded = screen.fold(text, indent=padded, hang=" " * len(padded))
        lines += screen.paint_start(folded, padded, "dim")
    return lines


def breakage_lines(report: Report, screen: Screen) -> list[str]:
    """Return where newly failing cases differ first from the baseline; empty if nothing is known."""
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


def threshold_sentences(report: Report, screen: Screen) -> list[str]:
    """Return the full sentence of each threshold that did not pass and is not the reason."""
    sentences = map(content.check_sentence, content.unreported_checks(report.gate_result))
    lines = screen.fold_all(sentences, indent="  ", hang="    ")
    return [heading("Thresholds in words", screen), *lines] if lines else []


def detail_sections(
    report: Report, results: Sequence[case_status.CaseResult], screen: Screen
) -> Iterator[list[str]]:
    """Yield every section that the one-screen report leaves out."""
    yield run_lines(report, screen)
    yield threshold_sentences(report, screen)
    others = secondary_lines(results, screen)
    yield [heading("Other cases", screen), *others] if others else []
    yield breakage_lines(report, screen)
    yield _metrics(report, screen)
    yield _calls(report, screen)
    yield _tags(report, screen)
    notes = screen.fold_all(report.gate_result.notes, indent="  - ", hang="    ")
    yield [heading("Notes", screen), *notes] if notes else []


def _metrics(report: Report, screen: Screen) -> list[str]:
    rows = content.metric_rows(report.gate_result)
    lines = align_columns(rows, screen, shrinkable={0: 12}, right=(1,))
    return [heading("Metrics, means over cases", screen), *lines] if rows else []


def _calls(report: Report, screen: Screen) -> list[str]:
    rows = call_rows(report.calls)
    lines = align_columns(
        rows,
        screen,
        titles=CALL_TITLES,
        shrinkable={6: 12, 0: 12},
        right=range(1, 6),
    )
    return [heading("Calls", screen), *lines] if rows else []


def _tags(report: Report, screen: Screen) -> list[str]:
    # 26 cells for the tag and its cases, 18 for each mean with its change.
    columns = max((screen.columns - 26) // 18, 1)
    titles, rows = content.tag_rows(report.run.header, report.gate_result, columns)
    shrinkable = {0: 12, **dict.fromkeys(range(2, len(titles)), 14)}
    right = range(1, len(titles))
    lines = align_columns(rows, screen, titles=titles, shrinkable=shrinkable, right=right)
    return [heading("Tags", screen), *lines] if rows else []
