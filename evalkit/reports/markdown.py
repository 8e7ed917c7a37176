"""A judged run as one screen of Markdown, for a step summary or a comment: details are folded.

Data stands in code spans and fences, where nothing is markup, a link or a mention. The only HTML is
the `<details>` written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evalkit.reports.facts import (
    OUTCOME_WORDS,
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
from evalkit.reports.numbers import allowed_text, check_texts
from evalkit.reports.report import Report
from evalkit.reports.standing import (
    ASIDE,
    CaseResult,
    answer_text,
    case_results,
    input_text,
    json_text,
    name_cases,
    passes_change,
    reason_text,
    standing_words,
    telling_trial,
    worst_first,
)
from evalkit.spelling import name_rule
from evalkit.text import head, markdown_code, markdown_fence, markdown_text, one_line
from evalkit.verdict import Verdict

SUMMARY_LIMIT = 1_000_000
"""GitHub drops a step summary of more than 1 MiB whole."""

COMMENT_LIMIT = 65_536
"""The longest comment GitHub takes."""

_MOST_SHOWN = 5
_MOST_LISTED = 50
_MOST_ROWS = 20
_MOST_METRICS = 4
_LONGEST_NAME = 80
_LONGEST_QUOTE = 160
_LONGEST_SENTENCE = 600
_LONGEST_TEXT = 1500

# Our own words and numbers; no dot but in numbers, so that no address is among them.
_HARMLESS = re.compile(r"(?!.*\bGH-)([A-Za-z0-9 ,%$()+-]|(?<=\d)\.(?=\d))*")


class Block(NamedTuple):
    """A part of a document; the least `rank` is the last to be left out for want of room."""

    rank: int
    text: str


def code(text: str) -> str:
    """A short piece of data as code, outside tables."""
    return markdown_code(one_line(text, _LONGEST_NAME))


def sentence(text: str) -> str:
    """A sentence that may hold data."""
    return markdown_text(one_line(text, _LONGEST_SENTENCE))


def code_cell(text: str) -> str:
    """A name as a cell of a table."""
    return markdown_code(one_line(text, _LONGEST_NAME), cell=True)


def plain_cell(text: str) -> str:
    """A number or words of ours as a cell of a table; as code if data made them anything else."""
    return text if _HARMLESS.fullmatch(text) else code_cell(text)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int]) -> str:
    """Rendered cells as a table, with the columns of numbers to the right; empty without rows."""
    rule = ["---:" if column in right else "---" for column in range(len(titles))]
    lines = [" | ".join(row) for row in (titles, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines) if rows else ""


def fold(title: str, blocks: Iterable[str]) -> str:
    """Blocks under a title of ours that opens them; empty without any."""
    inside = "\n\n".join(block for block in blocks if block)
    return f"<details>\n<summary>{title}</summary>\n\n{inside}\n\n</details>" if inside else ""


def and_more(left_out: int, report: Report) -> str:
    """How many rows a table leaves out, and where they are; empty when it has them all."""
    if left_out <= 0:
        return ""
    return f"and {left_out:,} more: {code(f'evalkit show {report.run.header.id}')}"


def _thresholds(report: Report) -> str:
    rows = []
    for check in checks_by_urgency(report.verdict)[:_MOST_ROWS]:
        unit = unit_of(report, check)
        numbers = (*check_texts(check, unit), allowed_text(check.rule, unit))
        name = code_cell(name_rule(check.rule))
        rows.append((outcome_word(check), name, *map(plain_cell, numbers)))
    titles = ("Result", "Threshold", "Baseline", "This run", "Change", "Allowed")
    left_out = and_more(len(report.verdict.checks) - _MOST_ROWS, report)
    return "\n\n".join(filter(None, (table(titles, rows, right=frozenset({2, 3, 4})), left_out)))


def gate_block(report: Report) -> str:
    """What the change edits in the gate it is held to, loosening edits first."""
    rows = gate_rows(report.verdict)
    if not rows:
        return ""
    lines = [f"- {word}: {sentence(text)}" for word, text in rows[:_MOST_ROWS]]
    left_out = and_more(len(rows) - _MOST_ROWS, report)
    return "\n\n".join(filter(None, ("**Edits of the gate:**", "\n".join(lines), left_out)))


def _broken_item(result: CaseResult) -> str:
    line = f"- {code(result.case.id)} {result.standing}, {passes_change(result)}"
    if result.standing == "error":
        return f"{line}: {sentence(reason_text(result))}"
    before = telling_trial(result.base, passed=True)
    now = telling_trial(result.trials, passed=False)
    lines = [line]
    if before is not None:
        lines.append(f"before: {_quote(answer_text(before.output))}")
    elif result.case.expected is not None:
        lines.append(f"expected: {_quote(json_text(result.case.expected))}")
    if now is not None:
        lines.append(f"now: {_quote(answer_text(now.output))}")
    if reason_text(result):
        lines.append(f"why: {sentence(one_line(reason_text(result), _LONGEST_QUOTE))}")
    return "\n  - ".join(lines)


def _quote(text: str) -> str:
    return markdown_code(one_line(text, _LONGEST_QUOTE))


def cases_block(report: Report, results: Sequence[CaseResult]) -> str:
    """How many cases stand where, the worst of them with before and after, the others by name."""
    broken = worst_first(results)
    shown = broken[:_MOST_SHOWN]
    parts = [
        f"**Cases:** {standing_words(results)}",
        "\n".join(map(_broken_item, shown)),
        and_more(len(broken) - len(shown), report),
    ]
    for standing, title in ASIDE.items():
        aside = [result for result in results if result.standing == standing]
        if aside:
            parts.append(f"{title}: {sentence(name_cases(aside))}")
    return "\n\n".join(filter(None, parts))


def _listed(results: Sequence[CaseResult]) -> str:
    more = worst_first(results)[_MOST_SHOWN:_MOST_LISTED]
    lines = [
        f"- {code(r.case.id)} {r.standing}, {passes_change(r)}: {sentence(reason_text(r))}"
        for r in more
    ]
    return fold("More broken cases", ["\n".join(lines)])


def _full_text(result: CaseResult) -> str:
    before = telling_trial(result.base, passed=True)
    now = telling_trial(result.trials, passed=False)
    parts = [("asked", input_text(result.case))]
    if result.case.expected is not None:
        parts.append(("expected", json_text(result.case.expected)))
    if before is not None:
        parts.append(("before", answer_text(before.output)))
    if now is not None:
        error = now.output.error
        parts.append(("now", answer_text(now.output) if error is None else error.detail))
    blocks = [
        f"{label}:\n\n{markdown_fence(head(text, _LONGEST_TEXT))}" for label, text in parts if text
    ]
    return "\n\n".join([f"**{code(result.case.id)}**", *blocks])


def next_block(report: Report) -> str:
    """The commands that lead on from here."""
    lines = [
        f"- {sentence(hint.label)}: {markdown_code(one_line(hint.command, _LONGEST_SENTENCE))}"
        for hint in report.hints
    ]
    return "\n".join(["**Next:**", "", *lines]) if lines else ""


def _metrics(report: Report) -> str:
    rows = [
        (code_cell(name), *map(plain_cell, rest)) for name, *rest in metric_rows(report.verdict)
    ]
    return table(("Metric", "Mean", "", "Trials"), rows, right=frozenset({1}))


def _tags(report: Report) -> str:
    (_, cases, *metrics), rows = tag_rows(report, _MOST_METRICS)
    titles = ("Tag", cases.capitalize(), *map(code_cell, metrics))
    cells = [(code_cell(tag), *map(plain_cell, rest)) for tag, *rest in rows[:_MOST_ROWS]]
    return table(titles, cells, right=frozenset(range(1, len(titles))))


def folded_blocks(report: Report, results: Sequence[CaseResult]) -> list[Block]:
    """The details, each under a title that opens them."""
    facts = [f"- {label}: {sentence(fact)}" for label, fact in run_facts(report)]
    notes = [f"- {sentence(note)}" for note in report.verdict.notes[:_MOST_ROWS]]
    return [
        Block(5, fold("Metrics and tags", [_metrics(report), _tags(report)])),
        Block(4, fold("Run and notes", ["\n".join([*facts, *notes])])),
        Block(6, _listed(results)),
        Block(7, fold("Broken cases in full", map(_full_text, worst_first(results)[:_MOST_SHOWN]))),
    ]


def headline(report: Report) -> str:
    """What the run came to, and of which set."""
    return f"## {OUTCOME_WORDS[report.verdict.outcome]}: {code(report.run.header.evalset)}"


def unsaid_block(verdict: Verdict) -> str:
    """The sentences of thresholds that did not pass and that the reason leaves out."""
    sentences = [f"- {sentence(check_sentence(check))}" for check in unsaid_checks(verdict)]
    return "\n".join(sentences[:_MOST_SHOWN])


def _blocks(report: Report) -> list[Block]:
    """The parts in the order of reading."""
    results = case_results(report)
    return [
        Block(0, headline(report)),
        Block(0, sentence(reason_words(report.verdict))),
        Block(1, gate_block(report)),
        Block(1, _thresholds(report)),
        Block(3, unsaid_block(report.verdict)),
        Block(2, cases_block(report, results)),
        Block(2, next_block(report)),
        *folded_blocks(report, results),
    ]


def fit_blocks(blocks: Iterable[Block], max_bytes: int) -> str:
    """Join blocks to a document of at most `max_bytes` in UTF-8, the least needed left out first.

    Those of rank 0 always stay.
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
    """Render a judged run as Markdown of at most `max_bytes` in UTF-8.

    The title and the reason always stay; they take less than 4 kB.
    """
    return fit_blocks(_blocks(report), max_bytes)
