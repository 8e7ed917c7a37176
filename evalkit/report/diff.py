"""Render a comparison of two runs as Markdown and JSON."""

from __future__ import annotations

from evalkit.core.safe_text import format_json, markdown_fence
from evalkit.report import diff_content, markdown
from evalkit.report.case_status import answer_text, representative_pair
from evalkit.report.documents import DiffTextDocument, to_document
from evalkit.report.json import run_document
from evalkit.report.matrix import metric_documents
from evalkit.report.matrix_document import DiffDocument
from evalkit.report.model import Diff
from evalkit.report.tool_call_diff import tool_call_diff_lines
from evalkit.report.versions_content import as_versions


def diff_markdown(diff: Diff) -> str:
    """Render a comparison of two runs as Markdown."""
    before, now = diff_content.side_names(diff)
    blocks = [
        f"## {markdown.inline_code(diff.base.header.evalset)}: {markdown.inline_code(before)} -> {markdown.inline_code(now)}",
        markdown.markdown_table(
            ("Metric", "Before", "Now", "Change", "Over"),
            [
                (markdown.code_cell(name.strip()), *map(markdown.plain_cell, rest))
                for name, *rest in map(
                    diff_content.metric_change_row, diff_content.metric_changes(diff)
                )
            ],
            right=(1, 2, 3),
        ),
        f"**Cases:** {diff_content.case_counts_text(diff)}",
        "\n".join(
            f"- {markdown.inline_code(change.case_id)} {diff_content.change_label(change)}, "
            f"{markdown.sentence_text(diff_content.change_passes(change))}"
            for change in diff_content.changed_cases(diff)
        ),
        *(_text_block(diff, case_id) for case_id in diff.detailed_case_ids),
        "\n".join(f"- {markdown.sentence_text(note)}" for note in diff_content.diff_notes(diff)),
    ]
    return markdown.join_blocks(blocks) + "\n"


def _text_block(diff: Diff, case_id: str) -> str:
    base, candidate = representative_pair(diff.base, diff.candidate, case_id)
    lines = "\n".join(diff_content.unified_text_diff(base, candidate))
    words = "".join(
        f"\n- {markdown.sentence_text(text)}" for text in tool_call_diff_lines(diff, case_id)
    )
    steps = f"\n\nSteps:\n{words}" if words else ""
    return f"### Outputs of {markdown.inline_code(case_id)}\n\n{markdown_fence(lines, language='diff')}{steps}"


def diff_json(diff: Diff) -> str:
    """Render a comparison of two runs as an `evalkit.diff/v1` document."""
    document: DiffDocument = {
        "schema": "evalkit.diff/v1",
        "base": run_document(diff.base),
        "candidate": run_document(diff.candidate),
        "comparison": to_document(diff.comparison),
        "runs": {
            "base": diff.base_runs or (diff.base.header.id,),
            "candidate": diff.candidate_runs or (diff.candidate.header.id,),
        },
        "metrics": metric_documents(as_versions(diff)),
        "texts": [_text_document(diff, case_id) for case_id in diff.detailed_case_ids],
    }
    return format_json(document)


def _text_document(diff: Diff, case_id: str) -> DiffTextDocument:
    base, candidate = representative_pair(diff.base, diff.candidate, case_id)
    return {
        "case_id": case_id,
        "base": answer_text(base.output) if base else None,
        "candidate": answer_text(candidate.output) if candidate else None,
        "steps": tool_call_diff_lines(diff, case_id),
    }
