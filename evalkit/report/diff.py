"""Two runs side by side as text for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseChange, CaseStatus, MetricChange
from evalkit.core.run import RunHeader
from evalkit.core.safe_text import format_json, head, markdown_fence
from evalkit.core.spans import Span
from evalkit.core.trial import Trial
from evalkit.report.case_status import answer_text, passes_text, representative_pair
from evalkit.report.json import comparison_document, run_document
from evalkit.report.markdown import (
    code_cell,
    inline_code,
    markdown_table,
    plain_cell,
    sentence_text,
)
from evalkit.report.model import Diff
from evalkit.report.numbers import NO_VALUE, change_cell, value_cell
from evalkit.report.screen import Cell, Screen, Style, align_columns, heading, join_sections
from evalkit.report.span_tree import render_side_by_side
from evalkit.report.tool_call_diff import describe_tool_call_diff

CASE_STATUS_STYLES: dict[CaseStatus, Style] = {
    "regressed": "bad",
    "fixed": "good",
    "changed": "",
    "not_scored": "warn",
    "edited": "",
    "added": "",
    "removed": "",
    "unchanged": "dim",
}
"""Every way a case can differ, in the order of interest."""

_MAX_TEXT_CHARS = 20_000
_MAX_LINES = 200
_LINE_STYLES: dict[str, Style] = {"-": "bad", "+": "good", "@": "dim"}


def side_names(diff: Diff) -> tuple[str, str]:
    """Both sides: the version, and the run or how many of them."""
    return (
        _side_name(diff.base.header, diff.base_runs),
        _side_name(diff.candidate.header, diff.candidate_runs),
    )


def _side_name(header: RunHeader, run_ids: Sequence[str]) -> str:
    of_runs = format_count(len(run_ids), "run") if run_ids else header.id
    return f"{header.agent_version or 'no version'} ({of_runs})"


def metric_change_text(change: MetricChange) -> str:
    """A change in points of a share, or in percent of what a metric with a unit was."""
    if change.difference is None or not change.unit:
        return change_cell(change.difference, change.unit)
    return (
        change_cell(change.difference / abs(change.base), change.unit) if change.base else NO_VALUE
    )


def metric_change_row(change: MetricChange) -> tuple[str, str, str, str, str]:
    """Name, before, now, change, and over how many cases."""
    return (
        f"  in {change.tag}" if change.tag is not None else change.metric,
        value_cell(change.base, change.unit),
        value_cell(change.candidate, change.unit),
        metric_change_text(change),
        format_count(change.cases, "case"),
    )


def metric_changes(diff: Diff) -> list[MetricChange]:
    """The comparable metrics, each followed by its tags."""
    changes = [
        change
        for change in diff.comparison.metrics
        if not change.why_not and (change.tag is None or not diff.tags or change.tag in diff.tags)
    ]
    names = list(dict.fromkeys(change.metric for change in changes))
    return sorted(changes, key=lambda change: (names.index(change.metric), change.tag is not None))


def list_incomparable(diff: Diff) -> list[str]:
    """The metrics that are not compared, and why."""
    return [
        f"{change.metric} is not comparable: {change.why_not}"
        for change in diff.comparison.metrics
        if change.why_not and change.tag is None
    ]


def case_counts_text(diff: Diff) -> str:
    """How many cases did what, in words."""
    counts = Counter(change.status for change in diff.comparison.cases)
    words = [f"{counts[status]:,} {status}" for status in CASE_STATUS_STYLES if counts[status]]
    return ", ".join(words).replace("_", " ") or "none in common"


def changed_cases(diff: Diff) -> list[CaseChange]:
    """The cases that differ, in the order of interest."""
    order = list(CASE_STATUS_STYLES)
    changed = [change for change in diff.comparison.cases if change.status != "unchanged"]
    return sorted(changed, key=lambda change: order.index(change.status))


def passes_change_text(change: CaseChange) -> str:
    """Passes of scored trials, then and now."""
    before = passes_text(change.base_passed, change.base_trials)
    return f"{before} -> {passes_text(change.passed, change.trials)}"


def _answer_lines(trial: Trial | None) -> list[str]:
    return head(answer_text(trial.output), _MAX_TEXT_CHARS).split("\n") if trial else []


def unified_text_diff(base: Trial | None, candidate: Trial | None) -> Iterator[str]:
    """What two outputs do not share, line by line in the manner of `diff -u`; bounded."""
    before, after = _answer_lines(base), _answer_lines(candidate)
    if before == after:
        yield "the same text" if base and candidate else "in neither run"
    for number, line in enumerate(difflib.unified_diff(before, after, lineterm="")):
        if number >= _MAX_LINES:
            yield "[... more lines differ]"
            return
        if number >= 2:  # the first two would name files
            yield line


def _text_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    base, candidate = representative_pair(diff.base, diff.candidate, case_id)
    lines = [heading(f"Outputs of {case_id}", screen)]
    for line in unified_text_diff(base, candidate):
        style = _LINE_STYLES.get(line[:1], "")
        lines += [screen.paint(part, style) for part in screen.fold(line, indent="  ", hang="    ")]
    return lines


def spans_of(diff: Diff, trials: tuple[Trial | None, Trial | None]) -> list[tuple[Span, ...]]:
    """The steps of a trial of either side."""
    kept = (diff.base_spans, diff.candidate_spans)
    return [
        spans.get((trial.case_id, trial.number), ()) if trial else ()
        for spans, trial in zip(kept, trials, strict=True)
    ]


def tool_call_diff_lines(diff: Diff, case_id: str) -> list[str]:
    """In words, where the steps of the two trials of a case part; nothing where no steps are known."""
    trials = representative_pair(diff.base, diff.candidate, case_id)
    calls = [trial.output.tool_calls if trial else () for trial in trials]
    if None in trials or not any((*calls, *spans_of(diff, trials))):
        return []
    names = tuple(run.header.agent_version or "" for run in (diff.base, diff.candidate))
    if names[0] == names[1] or not all(names):
        names = ("the first", "the second")
    return describe_tool_call_diff(calls[0], calls[1], (names[0], names[1]))


def _steps_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    words = tool_call_diff_lines(diff, case_id)
    if not words:
        return []
    lines = [heading(f"Steps of {case_id}", screen)]
    lines += [part for text in words for part in screen.fold(text, indent="  ", hang="    ")]
    trials = representative_pair(diff.base, diff.candidate, case_id)
    before, now = spans_of(diff, trials)
    if before and now:
        titles = [
            f"{run.header.agent_version}, trial {trial.number + 1}" if trial else ""
            for run, trial in zip((diff.base, diff.candidate), trials, strict=True)
        ]
        lines += ["", *render_side_by_side(before, now, (titles[0], titles[1]), screen)]
    return lines


def diff_text(diff: Diff, screen: Screen) -> str:
    """Render two runs side by side for a terminal."""
    opening = " -> ".join(side_names(diff))
    metrics = [tuple(map(Cell, metric_change_row(change))) for change in metric_changes(diff)]
    titles = ("", "before", "now", "change", "")
    cases = [
        (
            Cell(change.status.replace("_", " "), CASE_STATUS_STYLES[change.status]),
            Cell(change.case_id),
            Cell(passes_change_text(change)),
            Cell("flaky" if change.flaky else "", "dim"),
        )
        for change in changed_cases(diff)
    ]
    counts = screen.fold(f"Cases: {case_counts_text(diff)}", hang="  ")
    said = [*list_incomparable(diff), *diff.comparison.notes]
    notes = [line for note in said for line in screen.fold(note, indent="  - ", hang="    ")]
    table_of_metrics = align_columns(
        metrics, screen, titles=titles, shrinkable={0: 12}, right=frozenset({1, 2, 3})
    )
    return join_sections(
        [
            screen.fold(opening, hang="  "),
            [heading("Metrics", screen), *table_of_metrics] if metrics else [],
            [
                *screen.paint_start(counts, "Cases", "bold"),
                *align_columns(cases, screen, shrinkable={1: 12}),
            ],
            *(
                section
                for case_id in diff.detailed_case_ids
                for section in (
                    _text_section(diff, case_id, screen),
                    _steps_section(diff, case_id, screen),
                )
            ),
            [heading("Notes", screen), *notes] if notes else [],
        ]
    )


def diff_markdown(diff: Diff) -> str:
    """Render two runs side by side as Markdown."""
    before, now = side_names(diff)
    blocks = [
        f"## {inline_code(diff.base.header.evalset)}: {inline_code(before)} -> {inline_code(now)}",
        markdown_table(
            ("Metric", "Before", "Now", "Change", "Over"),
            [
                (code_cell(name.strip()), *map(plain_cell, rest))
                for name, *rest in map(metric_change_row, metric_changes(diff))
            ],
            right=frozenset({1, 2, 3}),
        ),
        f"**Cases:** {case_counts_text(diff)}",
        "\n".join(
            f"- {inline_code(change.case_id)} {change.status.replace('_', ' ')}, {passes_change_text(change)}"
            f"{', flaky' if change.flaky else ''}"
            for change in changed_cases(diff)
        ),
        *(_text_block(diff, case_id) for case_id in diff.detailed_case_ids),
        "\n".join(
            f"- {sentence_text(note)}"
            for note in (*list_incomparable(diff), *diff.comparison.notes)
        ),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text_block(diff: Diff, case_id: str) -> str:
    base, candidate = representative_pair(diff.base, diff.candidate, case_id)
    lines = "\n".join(unified_text_diff(base, candidate))
    words = "".join(f"\n- {sentence_text(text)}" for text in tool_call_diff_lines(diff, case_id))
    steps = f"\n\nSteps:\n{words}" if words else ""
    return (
        f"### Outputs of {inline_code(case_id)}\n\n{markdown_fence(lines, language='diff')}{steps}"
    )


def diff_json(diff: Diff) -> str:
    """Render two runs side by side as one document, `evalkit.diff/v1`."""
    texts = []
    for case_id in diff.detailed_case_ids:
        base, candidate = representative_pair(diff.base, diff.candidate, case_id)
        texts.append(
            {
                "case_id": case_id,
                "base": answer_text(base.output) if base else None,
                "candidate": answer_text(candidate.output) if candidate else None,
                "steps": tool_call_diff_lines(diff, case_id),
            }
        )
    return format_json(
        {
            "schema": "evalkit.diff/v1",
            "base": run_document(diff.base),
            "candidate": run_document(diff.candidate),
            "comparison": comparison_document(diff.comparison),
            "runs": {
                "base": diff.base_runs or (diff.base.header.id,),
                "candidate": diff.candidate_runs or (diff.candidate.header.id,),
            },
            "texts": texts,
        }
    )
