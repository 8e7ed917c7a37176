"""Several versions side by side as text for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from evalkit.compare.matrix import MatrixCase, MatrixCell, MatrixRow
from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json, markdown_fence
from evalkit.core.trial import Trial
from evalkit.report.case_status import answer_text, passes_text, representative_trial, trials_of
from evalkit.report.diff import metric_change_text, unified_text_diff
from evalkit.report.json import run_document
from evalkit.report.markdown import (
    code_cell,
    inline_code,
    markdown_table,
    plain_cell,
    sentence_text,
)
from evalkit.report.model import VersionMatrix
from evalkit.report.numbers import NO_VALUE, value_cell
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections

MAX_LISTED_CASES = 200
"""That are named where people read; a program is told of all."""


def row_name(row: MatrixRow) -> str:
    """The metric, with its tag."""
    return row.metric if row.tag is None else f"{row.metric} [{row.tag}]"


def mean_with_interval(cell: MatrixCell, unit: str) -> str:
    """A mean with its interval, and how much of it is missing."""
    text, bounds = _plain_mean(cell, unit), cell_interval_text(cell, unit)
    return f"{text} ({bounds})" if bounds else text


def _plain_mean(cell: MatrixCell, unit: str) -> str:
    text = value_cell(cell.mean, unit)
    return f"{text}, {cell.scored:,} of {cell.due:,} scored" if cell.scored < cell.due else text


def cell_interval_text(cell: MatrixCell, unit: str) -> str:
    """The interval of a mean; empty where there is none."""
    if cell.mean is None or cell.low is None or cell.high is None:
        return ""
    return f"{value_cell(cell.low, unit)} to {value_cell(cell.high, unit)}"


def cell_change_text(cell: MatrixCell) -> str:
    """What changed since the first version."""
    return metric_change_text(cell.change) if cell.change is not None else NO_VALUE


def matrix_intro(shown: VersionMatrix) -> str:
    """What is compared, and over how many cases."""
    header = shown.runs[0].header
    return (
        f"{header.evalset}: {len(shown.runs)} versions over "
        f"{format_count(len(shown.matrix.shared), 'case')} that are the same in all; "
        f"changes are against {shown.labels[0]}, over the cases that both scored"
    )


def version_rows(shown: VersionMatrix) -> Iterator[tuple[str, str]]:
    """Each version with what its trials are from."""
    for label, run, run_ids in zip(shown.labels, shown.runs, shown.run_ids, strict=True):
        where = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs"
        yield label, f"{where}, {format_count(run.header.trials, 'trial')} of every case"


def case_row(case: MatrixCase) -> tuple[str, ...]:
    """How many versions pass a case, and the passes of each."""
    each = map(passes_text, case.passed, case.trials)
    return (f"{case.passing} of {len(case.trials)}", *each)


def cases_title(shown: VersionMatrix) -> str:
    """How many cases differ, and how many of them are named."""
    count = len(shown.matrix.cases)
    if not count:
        return "No case differs"
    which = f"; the first {MAX_LISTED_CASES}" if count > MAX_LISTED_CASES else ""
    return f"{format_count(count, 'case')} not alike in all versions{which}"


def matrix_notes(shown: VersionMatrix) -> tuple[str, ...]:
    """What was pooled and what was left out."""
    return (*shown.notes, *shown.matrix.notes)


def representative_trials(shown: VersionMatrix, case_id: str) -> list[Trial | None]:
    """Of a case one trial of each version: of the first one that passed, of the others one that did not."""
    return [
        representative_trial(trials_of(run, case_id), passed=index == 0)
        for index, run in enumerate(shown.runs)
    ]


def matrix_text(shown: VersionMatrix, screen: Screen) -> str:
    """Render several versions side by side for a terminal."""
    facts = [tuple(map(Cell, fact)) for fact in version_rows(shown)]
    cases = [
        (Cell(case.case_id), *map(Cell, case_row(case)))
        for case in shown.matrix.cases[:MAX_LISTED_CASES]
    ]
    notes = [
        line
        for note in matrix_notes(shown)
        for line in screen.fold(note, indent="  - ", hang="    ")
    ]
    return join_sections(
        [
            [
                *screen.fold(matrix_intro(shown), hang="  "),
                *align_columns(facts, screen, shrinkable={0: 12}),
            ],
            _metric_section(shown, screen),
            [
                heading(cases_title(shown), screen),
                *align_columns(
                    cases,
                    screen,
                    titles=("", "pass in", *shown.labels),
                    shrinkable={0: 12},
                    right=frozenset(range(1, len(shown.runs) + 2)),
                ),
            ],
            *(_text_section(shown, case_id, screen) for case_id in shown.detailed_case_ids),
            [heading("Notes", screen), *notes] if notes else [],
        ]
    )


def _metric_section(shown: VersionMatrix, screen: Screen) -> list[str]:
    """Shares in one table, measurements in another: their intervals take more room."""
    lines = [heading("Metrics", screen)]
    for is_share in (True, False):
        rows = [row for row in shown.matrix.rows if (row.unit == "") is is_share]
        lines += align_columns(
            chain.from_iterable(map(_metric_lines, rows)),
            screen,
            titles=("", *shown.labels),
            shrinkable={0: 12},
            right=frozenset(range(1, len(shown.runs) + 1)),
        )
    return lines


def _metric_lines(row: MatrixRow) -> Iterator[tuple[Cell, ...]]:
    """A line for the means, one for their intervals, and one for what changed."""
    yield (Cell(row_name(row)), *(Cell(_plain_mean(cell, row.unit)) for cell in row.cells))
    bounds = [cell_interval_text(cell, row.unit) for cell in row.cells]
    if any(bounds):
        yield (Cell("  90% interval", "dim"), *(Cell(text, "dim") for text in bounds))
    changes = [cell_change_text(cell) for cell in row.cells[1:]]
    yield (Cell("  change", "dim"), Cell(""), *map(Cell, changes))


def _text_section(shown: VersionMatrix, case_id: str, screen: Screen) -> list[str]:
    first, *others = representative_trials(shown, case_id)
    lines = []
    for label, trial in zip(shown.labels[1:], others, strict=True):
        lines.append(heading(f"Outputs of {case_id}: {shown.labels[0]} -> {label}", screen))
        for line in unified_text_diff(first, trial):
            lines += screen.fold(line, indent="  ", hang="    ")
    return lines


def matrix_markdown(shown: VersionMatrix) -> str:
    """Render several versions side by side as Markdown."""
    labels = [code_cell(label) for label in shown.labels]
    metrics = [
        (
            code_cell(row_name(row)),
            *(
                plain_cell(_with_change(cell, row.unit, index))
                for index, cell in enumerate(row.cells)
            ),
        )
        for row in shown.matrix.rows
    ]
    cases = [
        (code_cell(case.case_id), *map(plain_cell, case_row(case)))
        for case in shown.matrix.cases[:MAX_LISTED_CASES]
    ]
    facts = [
        f"- {inline_code(label)}: {sentence_text(fact)}" for label, fact in version_rows(shown)
    ]
    blocks = [
        f"## {inline_code(shown.runs[0].header.evalset)}: {len(shown.runs)} versions",
        "\n".join(facts),
        markdown_table(("Metric", *labels), metrics, right=frozenset(range(1, len(labels) + 1))),
        f"**{cases_title(shown)}**",
        markdown_table(
            ("Case", "Pass in", *labels), cases, right=frozenset(range(1, len(labels) + 2))
        ),
        *(_text_block(shown, case_id) for case_id in shown.detailed_case_ids),
        "\n".join(f"- {sentence_text(note)}" for note in matrix_notes(shown)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _with_change(cell: MatrixCell, unit: str, index: int) -> str:
    text = mean_with_interval(cell, unit)
    return f"{text}, {cell_change_text(cell)}" if index and cell.change is not None else text


def _text_block(shown: VersionMatrix, case_id: str) -> str:
    first, *others = representative_trials(shown, case_id)
    parts = []
    for label, trial in zip(shown.labels[1:], others, strict=True):
        lines = "\n".join(unified_text_diff(first, trial))
        title = f"### Outputs of {inline_code(case_id)}: {inline_code(shown.labels[0])} -> {inline_code(label)}"
        parts.append(f"{title}\n\n{markdown_fence(lines, language='diff')}")
    return "\n\n".join(parts)


def matrix_json(shown: VersionMatrix) -> str:
    """Render several versions side by side as one document, `evalkit.matrix/v1`."""
    versions = zip(shown.labels, shown.runs, shown.run_ids, strict=True)
    return format_json(
        {
            "schema": "evalkit.matrix/v1",
            "versions": [
                {"label": label, "run": run_document(run), "runs": run_ids}
                for label, run, run_ids in versions
            ],
            "shared_cases": shown.matrix.shared,
            "metrics": [
                {
                    "metric": row.metric,
                    "tag": row.tag,
                    "unit": row.unit,
                    "higher_is_better": row.higher_is_better,
                    "versions": [_cell_document(cell) for cell in row.cells],
                }
                for row in shown.matrix.rows
            ],
            "cases": msgspec.to_builtins(shown.matrix.cases),
            "texts": [
                {
                    "case_id": case_id,
                    "versions": [
                        answer_text(trial.output) if trial else None
                        for trial in representative_trials(shown, case_id)
                    ],
                }
                for case_id in shown.detailed_case_ids
            ],
            "notes": matrix_notes(shown),
        }
    )


def _cell_document(cell: MatrixCell) -> Json:
    change = cell.change
    return {
        "mean": cell.mean,
        "low": cell.low,
        "high": cell.high,
        "scored": cell.scored,
        "due": cell.due,
        "difference": change.difference if change else None,
        "cases": change.cases if change else 0,
    }
