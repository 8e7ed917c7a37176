"""Render a run as one screen of Markdown for a step summary, with folded details.

Data is in code spans and fences, so none of it is markup, a link, or a mention. The only HTML is the
`<details>` element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.safe_text import head, markdown_code, markdown_fence, markdown_text, one_line
from evalkit.report import case_status, content
from evalkit.report.breakage import BREAKAGE_TITLES, breakage_rows, breakage_sentences
from evalkit.report.model import Report
from evalkit.report.verdict import verdict_reason, verdict_word

SUMMARY_LIMIT = 1_000_000
"""The longest step summary in bytes. GitHub drops a longer one than 1 MiB completely."""

COMMENT_LIMIT = 65_536
"""The longest comment that GitHub accepts."""

_TITLES = ("Baseline", "This run", "Change")
_MAX_SHOWN_CASES = 5
_MAX_LISTED_CASES = 50
_MAX_ROWS = 20
_MAX_METRICS = 4
_MAX_NAME_CHARS = 80
_MAX_QUOTE_CHARS = 160
_MAX_SENTENCE_CHARS = 600
_MAX_TEXT_CHARS = 1500

# The words and numbers that evalkit writes. Dots are allowed in numbers only, so no address matches.
_PLAIN_CELL = re.compile(r"(?!.*\bGH-)([A-Za-z0-9 ,%$()+-]|(?<=\d)\.(?=\d))*")


class Block(NamedTuple):
    """A part of a document. If it is too long, blocks with a high `rank` are left out first."""

    rank: int
    text: str


def inline_code(text: str) -> str:
    """Return data as inline code, for use outside tables."""
    return markdown_code(one_line(text, _MAX_NAME_CHARS))


def sentence_text(text: str) -> str:
    """Return a sentence, which may contain data, as safe text."""
    return markdown_text(one_line(text, _MAX_SENTENCE_CHARS))


def code_cell(text: str) -> str:
    """Return a name as a table cell."""
    return markdown_code(one_line(text, _MAX_NAME_CHARS), cell=True)


def plain_cell(text: str) -> str:
    """Return text as a table cell, in code if it may contain data."""
    return text if _PLAIN_CELL.fullmatch(text) else code_cell(text)


def markdown_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int]
) -> str:
    """Return rendered cells as a table with some right-aligned columns; empty without rows."""
    right_columns = frozenset(right)
    rule = ["---:" if column in right_columns else "---" for column in range(len(titles))]
    lines = [" | ".join(row) for row in (titles, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines) if rows else ""


def join_blocks(blocks: Iterable[str]) -> str:
    """Join blocks with an empty line between them; empty blocks are left out."""
    return "\n\n".join(block for block in blocks if block)


def details_block(title: str, blocks: Iterable[str]) -> str:
    """Return blocks folded under a title, which must not contain data; empty without blocks."""
    inside = join_blocks(blocks)
    return f"<details>\n<summary>{title}</summary>\n\n{inside}\n\n</details>" if inside else ""


def left_out_text(left_out: int, report: Report) -> str:
    """Return how many rows a table leaves out and the command that shows them; empty if none."""
    if left_out <= 0:
        return ""
    return f"and {left_out:,} more: {inline_code(f'evalkit show {report.run.header.id}')}"


def thresholds_block(
    report: Report,
    titles: Sequence[str],
    max_rows: int,
    cells_of: Callable[[Check, str], Sequence[str]],
) -> str:
    """Return the thresholds as a table with outcome, name, and the given cells of each."""
    rows = []
    for check in content.checks_by_urgency(report.gate_result)[:max_rows]:
        unit = content.unit_of(report.run.header, check)
        numbers = (*cells_of(check, unit), content.limit_cell(check.rule, unit))
        name = code_cell(name_rule(check.rule))
        rows.append((content.outcome_word(check), name, *map(plain_cell, numbers)))
    left_out = left_out_text(len(report.gate_result.checks) - max_rows, report)
    table = markdown_table(("Result", "Threshold", *titles, "Allowed"), rows, right=(2, 3, 4))
    return join_blocks((table, left_out))


def definition_block(report: Report) -> str:
    """Return where the gate's definition came from, in bold if a change could have edited it unseen."""
    source = report.gate_result.definition
    text = sentence_text(report.gate_result.definition_sentence)
    return f"**{text}**" if source is not None and source.warning else text


def gate_block(report: Report) -> str:
    """Return the edits that a change makes to its gate, loosening edits first."""
    rows = content.gate_rows(report.gate_result)
    if not rows:
        return ""
    lines = [f"- {word}: {sentence_text(text)}" for word, text in rows[:_MAX_ROWS]]
    left_out = left_out_text(len(rows) - _MAX_ROWS, report)
    return join_blocks(("**Edits of the gate:**", "\n".join(lines), left_out))


def _broken_item(result: case_status.CaseResult) -> str:
    line = f"- {inline_code(result.case.id)} {result.label}, {case_status.passes_change(result.change)}"
    if result.status == "error":
        return f"{line}: {sentence_text(case_status.reason_text(result))}"
    before = case_status.representative_trial(result.base, passed=True)
    now = case_status.representative_trial(result.trials, passed=False)
    lines = [line]
    if before is not None:
        lines.append(f"before: {_quote(case_status.answer_text(before.output))}")
    elif result.case.expected is not None:
        lines.append(f"expected: {_quote(case_status.json_text(result.case.expected))}")
    if now is not None:
        lines.append(f"now: {_quote(case_status.answer_text(now.output))}")
    if case_status.reason_text(result):
        lines.append(
            f"why: {sentence_text(one_line(case_status.reason_text(result), _MAX_QUOTE_CHARS))}"
        )
    return "\n  - ".join(lines)


def _quote(text: str) -> str:
    return markdown_code(one_line(text, _MAX_QUOTE_CHARS))


def cases_block(report: Report, results: Sequence[case_status.CaseResult]) -> str:
    """Return the cases by status: the worst ones with both answers, the others by name."""
    broken = case_status.worst_first(results)
    shown = broken[:_MAX_SHOWN_CASES]
    parts = [
        f"**Cases:** {case_status.status_counts_text(results)}",
        "\n".join(map(_broken_item, shown)),
        left_out_text(len(broken) - len(shown), report),
    ]
    for title, of_status in case_status.secondary_cases(results):
        parts.append(f"{title}: {sentence_text(case_status.cases_with_passes(of_status))}")
    return join_blocks(parts)


def _case_list_text(results: Sequence[case_status.CaseResult]) -> str:
    more = case_status.worst_first(results)[_MAX_SHOWN_CASES:_MAX_LISTED_CASES]
    lines = [
        f"- {inline_code(r.case.id)} {r.label}, {case_status.passes_change(r.change)}: {sentence_text(case_status.reason_text(r))}"
        for r in more
    ]
    return details_block("More broken cases", ["\n".join(lines)])


def _full_text(result: case_status.CaseResult) -> str:
    before = case_status.representative_trial(result.base, passed=True)
    now = case_status.representative_trial(result.trials, passed=False)
    parts = [("asked", case_status.input_text(result.case))]
    if result.case.expected is not None:
        parts.append(("expected", case_status.json_text(result.case.expected)))
    if before is not None:
        parts.append(("before", case_status.answer_text(before.output)))
    if now is not None:
        error = now.output.error
        parts.append(
            ("now", case_status.answer_text(now.output) if error is None else error.detail)
        )
    blocks = [
        f"{label}:\n\n{markdown_fence(head(text, _MAX_TEXT_CHARS))}"
        for label, text in parts
        if text
    ]
    return "\n\n".join([f"**{inline_code(result.case.id)}**", *blocks])


def breakage_block(report: Report) -> str:
    """Return where newly failing cases differ first, and what goes together with failing."""
    sentences = breakage_sentences(report.breakage)
    if not sentences:
        return ""
    rows = [
        (code_cell(what), *map(plain_cell, rest)) for what, *rest in breakage_rows(report.breakage)
    ]
    titles = [title.capitalize() for title in BREAKAGE_TITLES]
    table = markdown_table(titles, rows, right=(1, 2, 3))
    return join_blocks(("**Where it broke:**", table, *map(sentence_text, sentences)))


def next_steps_block(report: Report) -> str:
    """Return the commands to type next."""
    lines = [
        f"- {sentence_text(hint.label)}: {markdown_code(one_line(hint.command, _MAX_SENTENCE_CHARS))}"
        for hint in report.hints
    ]
    return "\n".join(["**Next:**", "", *lines]) if lines else ""


def _metrics(report: Report) -> str:
    rows = [
        (code_cell(name), *map(plain_cell, rest))
        for name, *rest in content.metric_rows(report.gate_result)
    ]
    return markdown_table(("Metric", "Mean over cases", "", "Trials"), rows, right=(1,))


def _tags(report: Report) -> str:
    (_, cases, *metrics), rows = content.tag_rows(
        report.run.header, report.gate_result, _MAX_METRICS
    )
    titles = ("Tag", cases.capitalize(), *map(code_cell, metrics))
    cells = [(code_cell(tag), *map(plain_cell, rest)) for tag, *rest in rows[:_MAX_ROWS]]
    return markdown_table(titles, cells, right=range(1, len(titles)))


def details_blocks(report: Report, results: Sequence[case_status.CaseResult]) -> list[Block]:
    """Return the details, each folded under its title."""
    rows = content.run_rows(report.run, report.gate_result, report.baseline)
    lines = [f"- {label}: {sentence_text(fact)}" for label, fact in rows]
    notes = [f"- {sentence_text(note)}" for note in report.gate_result.notes[:_MAX_ROWS]]
    return [
        Block(5, details_block("Metrics and tags", [_metrics(report), _tags(report)])),
        Block(4, details_block("Run and notes", ["\n".join([*lines, *notes])])),
        Block(6, _case_list_text(results)),
        Block(
            7,
            details_block(
                "Broken cases in full",
                map(_full_text, case_status.worst_first(results)[:_MAX_SHOWN_CASES]),
            ),
        ),
    ]


def headline(report: Report) -> str:
    """Return the outcome and the name of the set."""
    header = report.run.header
    return f"## {verdict_word(header, report.gate_result)}: {inline_code(header.evalset)}"


def unreported_checks_block(gate_result: GateResult) -> str:
    """Return the sentences of thresholds that did not pass and that the reason does not quote."""
    sentences = [
        f"- {sentence_text(content.check_sentence(check))}"
        for check in content.unreported_checks(gate_result)
    ]
    return "\n".join(sentences[:_MAX_SHOWN_CASES])


def _blocks(report: Report) -> list[Block]:
    """Return the parts in reading order."""
    results = case_status.case_results(report.run, report.gate_result, report.baseline)
    return [
        # Rank 0 always stays; the other ranks go from what a reader needs most to what can be dropped first.
        Block(0, headline(report)),
        Block(0, sentence_text(verdict_reason(report.run.header, report.gate_result))),
        Block(0, definition_block(report)),
        Block(1, gate_block(report)),
        Block(1, thresholds_block(report, _TITLES, _MAX_ROWS, content.check_cells)),
        Block(3, unreported_checks_block(report.gate_result)),
        Block(2, cases_block(report, results)),
        Block(3, breakage_block(report)),
        Block(2, next_steps_block(report)),
        *details_blocks(report, results),
    ]


def fit_blocks(blocks: Iterable[Block], max_bytes: int) -> str:
    """Join blocks to a document of at most `max_bytes` in UTF-8, without those of the highest ranks.

    Blocks of rank 0 are always included.
    """
    blocks = [block for block in blocks if block.text]
    kept: list[int] = []
    used = 0
    for index in sorted(range(len(blocks)), key=lambda index: blocks[index].rank):
        size = len(blocks[index].text.encode()) + 2
        if blocks[index].rank == 0 or used + size <= max_bytes:
            kept.append(index)
            used += size
    return "\n\n".join(blocks[index].text for index in sorted(kept)) + "\n"


def render_markdown(report: Report, *, max_bytes: int = SUMMARY_LIMIT) -> str:
    """Render a run as Markdown of at most `max_bytes` in UTF-8.

    The title and the reason are always included; they take less than 4 kB.
    """
    return fit_blocks(_blocks(report), max_bytes)
