"""Several versions side by side as text for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from evalkit.matrix import MatrixCase, MatrixCell, MatrixRow
from evalkit.records import Json, Trial
from evalkit.reports.diffs import metric_change_text, text_difference
from evalkit.reports.json import run_document
from evalkit.reports.layout import Cell, Screen, align, finish, heading
from evalkit.reports.markdown import code, code_cell, plain_cell, sentence, table
from evalkit.reports.numbers import NO_VALUE, value_text
from evalkit.reports.report import VersionMatrix
from evalkit.reports.standing import answer_text, passes_text, telling_trial, trials_of
from evalkit.spelling import count_of
from evalkit.text import json_block, markdown_fence

MOST_CASES = 200
"""That are named where people read; a program is told of all."""


def row_name(row: MatrixRow) -> str:
    """The metric, with its tag."""
    return row.metric if row.tag is None else f"{row.metric} [{row.tag}]"


def mean_text(cell: MatrixCell, unit: str) -> str:
    """A mean with its interval, and how much of it is missing."""
    text, bounds = _plain_mean(cell, unit), bounds_text(cell, unit)
    return f"{text} ({bounds})" if bounds else text


def _plain_mean(cell: MatrixCell, unit: str) -> str:
    text = value_text(cell.mean, unit)
    return f"{text}, {cell.scored:,} of {cell.due:,} scored" if cell.scored < cell.due else text


def bounds_text(cell: MatrixCell, unit: str) -> str:
    """The interval of a mean; empty where there is none."""
    if cell.mean is None or cell.low is None or cell.high is None:
        return ""
    return f"{value_text(cell.low, unit)} to {value_text(cell.high, unit)}"


def change_of(cell: MatrixCell) -> str:
    """What changed since the first version."""
    return metric_change_text(cell.change) if cell.change is not None else NO_VALUE


def opening(shown: VersionMatrix) -> str:
    """What is compared, and over how many cases."""
    header = shown.runs[0].header
    return (
        f"{header.evalset}: {len(shown.runs)} versions over "
        f"{count_of(len(shown.matrix.shared), 'case')} that are the same in all; "
        f"changes are against {shown.labels[0]}, over the cases that both scored"
    )


def version_facts(shown: VersionMatrix) -> Iterator[tuple[str, str]]:
    """Each version with what its trials are from."""
    for label, run, run_ids in zip(shown.labels, shown.runs, shown.run_ids, strict=True):
        where = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs"
        yield label, f"{where}, {count_of(run.header.trials, 'trial')} of every case"


def case_row(case: MatrixCase) -> tuple[str, ...]:
    """How many versions pass a case, and the passes of each."""
    each = map(passes_text, case.passed, case.trials)
    return (f"{case.passing} of {len(case.trials)}", *each)


def cases_title(shown: VersionMatrix) -> str:
    """How many cases differ, and how many of them are named."""
    count = len(shown.matrix.cases)
    if not count:
        return "No case differs"
    which = f"; the first {MOST_CASES}" if count > MOST_CASES else ""
    return f"{count_of(count, 'case')} not alike in all versions{which}"


def all_notes(shown: VersionMatrix) -> tuple[str, ...]:
    """What was pooled and what was left out."""
    return (*shown.notes, *shown.matrix.notes)


def telling_trials(shown: VersionMatrix, case_id: str) -> list[Trial | None]:
    """Of a case one trial of each version: of the first one that passed, of the others one that did not."""
    return [
        telling_trial(trials_of(run, case_id), passed=index == 0)
        for index, run in enumerate(shown.runs)
    ]


def matrix_text(shown: VersionMatrix, screen: Screen) -> str:
    """Render several versions side by side for a terminal."""
    facts = [tuple(map(Cell, fact)) for fact in version_facts(shown)]
    cases = [
        (Cell(case.case_id), *map(Cell, case_row(case))) for case in shown.matrix.cases[:MOST_CASES]
    ]
    notes = [
        line for note in all_notes(shown) for line in screen.fold(note, indent="  - ", hang="    ")
    ]
    return finish(
        [
            [*screen.fold(opening(shown), hang="  "), *align(facts, screen, shrinkable={0: 12})],
            _metric_section(shown, screen),
            [
                heading(cases_title(shown), screen),
                *align(
                    cases,
                    screen,
                    titles=("", "pass in", *shown.labels),
                    shrinkable={0: 12},
                    right=frozenset(range(1, len(shown.runs) + 2)),
                ),
            ],
            *(_text_section(shown, case_id, screen) for case_id in shown.texts_of),
            [heading("Notes", screen), *notes] if notes else [],
        ]
    )


def _metric_section(shown: VersionMatrix, screen: Screen) -> list[str]:
    """Shares in one table, measurements in another: their intervals take more room."""
    lines = [heading("Metrics", screen)]
    for is_share in (True, False):
        rows = [row for row in shown.matrix.rows if (row.unit == "") is is_share]
        lines += align(
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
    bounds = [bounds_text(cell, row.unit) for cell in row.cells]
    if any(bounds):
        yield (Cell("  90% interval", "dim"), *(Cell(text, "dim") for text in bounds))
    changes = [change_of(cell) for cell in row.cells[1:]]
    yield (Cell("  change", "dim"), Cell(""), *map(Cell, changes))


def _text_section(shown: VersionMatrix, case_id: str, screen: Screen) -> list[str]:
    first, *others = telling_trials(shown, case_id)
    lines = []
    for label, trial in zip(shown.labels[1:], others, strict=True):
        lines.append(heading(f"Outputs of {case_id}: {shown.labels[0]} -> {label}", screen))
        for line in text_difference(first, trial):
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
        for case in shown.matrix.cases[:MOST_CASES]
    ]
    facts = [f"- {code(label)}: {sentence(fact)}" for label, fact in version_facts(shown)]
    blocks = [
        f"## {code(shown.runs[0].header.evalset)}: {len(shown.runs)} versions",
        "\n".join(facts),
        table(("Metric", *labels), metrics, right=frozenset(range(1, len(labels) + 1))),
        f"**{cases_title(shown)}**",
        table(("Case", "Pass in", *labels), cases, right=frozenset(range(1, len(labels) + 2))),
        *(_text_block(shown, case_id) for case_id in shown.texts_of),
        "\n".join(f"- {sentence(note)}" for note in all_notes(shown)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _with_change(cell: MatrixCell, unit: str, index: int) -> str:
    text = mean_text(cell, unit)
    return f"{text}, {change_of(cell)}" if index and cell.change is not None else text


def _text_block(shown: VersionMatrix, case_id: str) -> str:
    first, *others = telling_trials(shown, case_id)
    parts = []
    for label, trial in zip(shown.labels[1:], others, strict=True):
        lines = "\n".join(text_difference(first, trial))
        title = f"### Outputs of {code(case_id)}: {code(shown.labels[0])} -> {code(label)}"
        parts.append(f"{title}\n\n{markdown_fence(lines, language='diff')}")
    return "\n\n".join(parts)


def matrix_json(shown: VersionMatrix) -> str:
    """Render several versions side by side as one document, `evalkit.matrix/v1`."""
    versions = zip(shown.labels, shown.runs, shown.run_ids, strict=True)
    return json_block(
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
                        for trial in telling_trials(shown, case_id)
                    ],
                }
                for case_id in shown.texts_of
            ],
            "notes": all_notes(shown),
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
