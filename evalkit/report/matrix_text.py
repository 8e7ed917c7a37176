"""Render a comparison of three or more versions for a terminal: what differs, the rest as a count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from evalkit.compare.matrix import MatrixRow
from evalkit.report import diff_content
from evalkit.report.matrix import text_diffs
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections
from evalkit.report.version_matrix import VersionMatrix

_MIN_CASES = 5
_MAX_ID_CELLS = 500
_BEST = "*"


def matrix_text(shown: VersionMatrix, screen: Screen, *, verbose: bool = False) -> str:
    """Render what differs between several versions; with `verbose`, every metric, interval, and case."""
    lead = [
        [
            *screen.fold(diff_content.matrix_intro(shown), hang="  "),
            *align_columns(diff_content.version_rows(shown), screen, shrinkable={0: 12}),
        ],
        _metric_section(shown, screen, verbose=verbose),
    ]
    notes = screen.fold_all(diff_content.matrix_notes(shown), indent="  - ", hang="    ")
    end = [notes, [_closing_line(shown, screen)]]
    # The title and the titles of the columns, the line on what is left out, and the next prompt.
    used = join_sections([*lead, *end]).count("\n") + 5
    most = len(shown.matrix.cases) if verbose else max(screen.height - used, _MIN_CASES)
    texts = (_text_section(shown, case_id, screen) for case_id in shown.detailed_case_ids)
    return join_sections([*lead, _case_section(shown, most, screen), *texts, *end])


def _is_same(row: MatrixRow) -> bool:
    """Return whether all versions show the same value, from all their trials."""
    return len({diff_content.mean_text(cell, row.unit) for cell in row.cells}) == 1


def _metric_section(shown: VersionMatrix, screen: Screen, *, verbose: bool) -> list[str]:
    """Return the rows whose versions differ, and one line that counts the others."""
    rows = [row for row in shown.matrix.rows if verbose or not _is_same(row)]
    same = [diff_content.row_name(row) for row in shown.matrix.rows if row not in rows]
    lines = align_columns(
        chain.from_iterable(_metric_lines(row, verbose=verbose) for row in rows),
        screen,
        titles=("", *shown.labels),
        shrinkable={0: 12},
        right=range(1, len(shown.runs) + 1),
    )
    if any(_marks_best(row) for row in rows):
        lines.append(f"  {screen.paint(f'{_BEST} best, or not proven worse than it', 'dim')}")
    if same:
        lines += screen.fold(f"same: {', '.join(same)}; -v", indent="  ", hang="    ")
    return lines


def _marks_best(row: MatrixRow) -> bool:
    return 0 < len(row.leaders) < len(row.cells)


def _metric_lines(row: MatrixRow, *, verbose: bool) -> Iterator[tuple[Cell | str, ...]]:
    """Yield a line of means with their changes; if `verbose`, also one of their intervals."""
    texts = []
    for index, cell in enumerate(row.cells):
        text = diff_content.mean_text(cell, row.unit)
        if index and cell.change is not None:
            text += f" ({diff_content.cell_change_text(cell)})"
        texts.append(f"{text}{_BEST if _marks_best(row) and index in row.leaders else ' '}")
    if not any(text.endswith(_BEST) for text in texts):
        texts = [text.rstrip() for text in texts]
    yield (diff_content.row_name(row), *texts)
    bounds = [diff_content.cell_interval_text(cell, row.unit) for cell in row.cells]
    if verbose and any(bounds):
        yield (Cell("  90% interval", "dim"), *(Cell(text, "dim") for text in bounds))


def _case_section(shown: VersionMatrix, most: int, screen: Screen) -> list[str]:
    cases = shown.matrix.cases
    lines = align_columns(
        [
            (screen.show(case.case_id, _MAX_ID_CELLS), *diff_content.case_row(case))
            for case in cases[:most]
        ],
        screen,
        titles=("", "pass in", *shown.labels),
        shrinkable={},
        right=range(1, len(shown.runs) + 2),
    )
    if len(cases) > most:
        lines.append(f"  {len(cases) - most:,} more: -v")
    return [heading(diff_content.cases_title(shown).partition(";")[0], screen), *lines]


def _closing_line(shown: VersionMatrix, screen: Screen) -> str:
    text = f"{shown.runs[0].header.evalset}  {', '.join(shown.labels)}"
    return screen.show(text, screen.columns)


def _text_section(shown: VersionMatrix, case_id: str, screen: Screen) -> list[str]:
    lines = []
    for label, texts in text_diffs(shown, case_id):
        lines.append(heading(f"Outputs of {case_id}: {shown.labels[0]} -> {label}", screen))
        lines += screen.fold_all(texts, indent="  ", hang="    ")
    return lines
