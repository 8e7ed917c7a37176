"""Render a comparison of three or more versions as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.compare.matrix import MatrixCell
from evalkit.core.safe_text import format_json, markdown_fence
from evalkit.report import diff_content, markdown
from evalkit.report.case_status import answer_text
from evalkit.report.documents import to_document
from evalkit.report.json import run_document
from evalkit.report.matrix_document import MatrixCellDocument, MatrixDocument, MatrixMetricDocument
from evalkit.report.version_matrix import VersionMatrix


def text_diffs(shown: VersionMatrix, case_id: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the label of each later version and how its output of a case differs from the first."""
    first, *others = diff_content.representative_trials(shown, case_id)
    for label, trial in zip(shown.labels[1:], others, strict=True):
        yield label, list(diff_content.unified_text_diff(first, trial))


def matrix_markdown(shown: VersionMatrix) -> str:
    """Render a comparison of several versions as Markdown."""
    labels = [markdown.code_cell(label) for label in shown.labels]
    metrics = [
        (
            markdown.code_cell(diff_content.row_name(row)),
            *(
                markdown.plain_cell(_with_change(cell, row.unit, index))
                for index, cell in enumerate(row.cells)
            ),
        )
        for row in shown.matrix.rows
    ]
    cases = [
        (markdown.code_cell(case.case_id), *map(markdown.plain_cell, diff_content.case_row(case)))
        for case in shown.matrix.cases[: diff_content.MAX_LISTED_CASES]
    ]
    versions = [
        f"- {markdown.inline_code(label)}: {markdown.sentence_text(text)}"
        for label, text in diff_content.version_rows(shown)
    ]
    blocks = [
        f"## {markdown.inline_code(shown.runs[0].header.evalset)}: {len(shown.runs)} versions",
        "\n".join(versions),
        markdown.markdown_table(("Metric", *labels), metrics, right=range(1, len(labels) + 1)),
        f"**{diff_content.cases_title(shown)}**",
        markdown.markdown_table(
            ("Case", "Pass in", *labels), cases, right=range(1, len(labels) + 2)
        ),
        *(_text_block(shown, case_id) for case_id in shown.detailed_case_ids),
        "\n".join(f"- {markdown.sentence_text(note)}" for note in diff_content.matrix_notes(shown)),
    ]
    return markdown.join_blocks(blocks) + "\n"


def _with_change(cell: MatrixCell, unit: str, index: int) -> str:
    text = diff_content.mean_with_interval(cell, unit)
    return (
        f"{text}, {diff_content.cell_change_text(cell)}"
        if index and cell.change is not None
        else text
    )


def _text_block(shown: VersionMatrix, case_id: str) -> str:
    title = (
        f"### Outputs of {markdown.inline_code(case_id)}: {markdown.inline_code(shown.labels[0])}"
    )
    blocks = []
    for label, texts in text_diffs(shown, case_id):
        fence = markdown_fence("\n".join(texts), language="diff")
        blocks.append(f"{title} -> {markdown.inline_code(label)}\n\n{fence}")
    return markdown.join_blocks(blocks)


def matrix_json(shown: VersionMatrix) -> str:
    """Render a comparison of several versions as an `evalkit.matrix/v1` document."""
    versions = zip(shown.labels, shown.runs, shown.run_ids, strict=True)
    document: MatrixDocument = {
        "schema": "evalkit.matrix/v1",
        "versions": [
            {"label": label, "run": run_document(run), "runs": run_ids}
            for label, run, run_ids in versions
        ],
        "shared_cases": shown.matrix.shared,
        "metrics": metric_documents(shown),
        "cases": to_document(shown.matrix.cases),
        "texts": [
            {
                "case_id": case_id,
                "versions": [
                    answer_text(trial.output) if trial else None
                    for trial in diff_content.representative_trials(shown, case_id)
                ],
            }
            for case_id in shown.detailed_case_ids
        ],
        "notes": diff_content.matrix_notes(shown),
    }
    return format_json(document)


def metric_documents(shown: VersionMatrix) -> list[MatrixMetricDocument]:
    """Return every metric with its means, intervals, changes, and leaders."""
    return [
        {
            "metric": row.metric,
            "tag": row.tag,
            "unit": row.unit,
            "higher_is_better": row.higher_is_better,
            "versions": [_cell_document(cell) for cell in row.cells],
            "leaders": row.leaders,
        }
        for row in shown.matrix.rows
    ]


def _cell_document(cell: MatrixCell) -> MatrixCellDocument:
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
