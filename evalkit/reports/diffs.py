"""Two runs side by side as text for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.records import RunHeader, Trial
from evalkit.reports.json import comparison_document, run_document
from evalkit.reports.layout import Cell, Screen, Style, align, finish, heading
from evalkit.reports.markdown import code, code_cell, plain_cell, sentence, table
from evalkit.reports.numbers import NO_VALUE, change_text, value_text
from evalkit.reports.parting import parting_words
from evalkit.reports.report import Diff
from evalkit.reports.standing import answer_text, passes_text, telling_pair
from evalkit.reports.trees import side_by_side
from evalkit.spans import Span
from evalkit.spelling import count_of
from evalkit.text import head, json_block, markdown_fence
from evalkit.verdict import CaseChange, CaseStatus, MetricChange

STATUSES: dict[CaseStatus, Style] = {
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

_LONGEST_TEXT = 20_000
_MOST_LINES = 200
_LINE_STYLES: dict[str, Style] = {"-": "bad", "+": "good", "@": "dim"}


def side_names(diff: Diff) -> tuple[str, str]:
    """Both sides: the version, and the run or how many of them."""
    return (
        _side(diff.base.header, diff.base_runs),
        _side(diff.candidate.header, diff.candidate_runs),
    )


def _side(header: RunHeader, run_ids: Sequence[str]) -> str:
    of_runs = count_of(len(run_ids), "run") if run_ids else header.id
    return f"{header.agent_version or 'no version'} ({of_runs})"


def metric_change_text(change: MetricChange) -> str:
    """A change in points of a share, or in percent of what a metric with a unit was."""
    if change.difference is None or not change.unit:
        return change_text(change.difference, change.unit)
    return (
        change_text(change.difference / abs(change.base), change.unit) if change.base else NO_VALUE
    )


def metric_row(change: MetricChange) -> tuple[str, str, str, str, str]:
    """Name, before, now, change, and over how many cases."""
    return (
        f"  in {change.tag}" if change.tag is not None else change.metric,
        value_text(change.base, change.unit),
        value_text(change.candidate, change.unit),
        metric_change_text(change),
        count_of(change.cases, "case"),
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


def incomparable(diff: Diff) -> list[str]:
    """The metrics that are not compared, and why."""
    return [
        f"{change.metric} is not comparable: {change.why_not}"
        for change in diff.comparison.metrics
        if change.why_not and change.tag is None
    ]


def case_counts(diff: Diff) -> str:
    """How many cases did what, in words."""
    counts = Counter(change.status for change in diff.comparison.cases)
    words = [f"{counts[status]:,} {status}" for status in STATUSES if counts[status]]
    return ", ".join(words).replace("_", " ") or "none in common"


def changed_cases(diff: Diff) -> list[CaseChange]:
    """The cases that differ, in the order of interest."""
    order = list(STATUSES)
    changed = [change for change in diff.comparison.cases if change.status != "unchanged"]
    return sorted(changed, key=lambda change: order.index(change.status))


def passes(change: CaseChange) -> str:
    """Passes of scored trials, then and now."""
    before = passes_text(change.base_passed, change.base_trials)
    return f"{before} -> {passes_text(change.passed, change.trials)}"


def _answer_lines(trial: Trial | None) -> list[str]:
    return head(answer_text(trial.output), _LONGEST_TEXT).split("\n") if trial else []


def text_difference(base: Trial | None, candidate: Trial | None) -> Iterator[str]:
    """What two outputs do not share, line by line in the manner of `diff -u`; bounded."""
    before, after = _answer_lines(base), _answer_lines(candidate)
    if before == after:
        yield "the same text" if base and candidate else "in neither run"
    for number, line in enumerate(difflib.unified_diff(before, after, lineterm="")):
        if number >= _MOST_LINES:
            yield "[... more lines differ]"
            return
        if number >= 2:  # the first two would name files
            yield line


def _text_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    base, candidate = telling_pair(diff.base, diff.candidate, case_id)
    lines = [heading(f"Outputs of {case_id}", screen)]
    for line in text_difference(base, candidate):
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


def parting(diff: Diff, case_id: str) -> list[str]:
    """In words, where the steps of the two trials of a case part; nothing where no steps are known."""
    trials = telling_pair(diff.base, diff.candidate, case_id)
    calls = [trial.output.tool_calls if trial else () for trial in trials]
    if None in trials or not any((*calls, *spans_of(diff, trials))):
        return []
    names = tuple(run.header.agent_version or "" for run in (diff.base, diff.candidate))
    if names[0] == names[1] or not all(names):
        names = ("the first", "the second")
    return parting_words(calls[0], calls[1], (names[0], names[1]))


def _steps_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    words = parting(diff, case_id)
    if not words:
        return []
    lines = [heading(f"Steps of {case_id}", screen)]
    lines += [part for text in words for part in screen.fold(text, indent="  ", hang="    ")]
    trials = telling_pair(diff.base, diff.candidate, case_id)
    before, now = spans_of(diff, trials)
    if before and now:
        titles = [
            f"{run.header.agent_version}, trial {trial.number + 1}" if trial else ""
            for run, trial in zip((diff.base, diff.candidate), trials, strict=True)
        ]
        lines += ["", *side_by_side(before, now, (titles[0], titles[1]), screen)]
    return lines


def diff_text(diff: Diff, screen: Screen) -> str:
    """Render two runs side by side for a terminal."""
    opening = " -> ".join(side_names(diff))
    metrics = [tuple(map(Cell, metric_row(change))) for change in metric_changes(diff)]
    titles = ("", "before", "now", "change", "")
    cases = [
        (
            Cell(change.status.replace("_", " "), STATUSES[change.status]),
            Cell(change.case_id),
            Cell(passes(change)),
            Cell("flaky" if change.flaky else "", "dim"),
        )
        for change in changed_cases(diff)
    ]
    counts = screen.fold(f"Cases: {case_counts(diff)}", hang="  ")
    said = [*incomparable(diff), *diff.comparison.notes]
    notes = [line for note in said for line in screen.fold(note, indent="  - ", hang="    ")]
    table_of_metrics = align(
        metrics, screen, titles=titles, shrinkable={0: 12}, right=frozenset({1, 2, 3})
    )
    return finish(
        [
            screen.fold(opening, hang="  "),
            [heading("Metrics", screen), *table_of_metrics] if metrics else [],
            [
                *screen.paint_start(counts, "Cases", "bold"),
                *align(cases, screen, shrinkable={1: 12}),
            ],
            *(
                section
                for case_id in diff.texts_of
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
        f"## {code(diff.base.header.evalset)}: {code(before)} -> {code(now)}",
        table(
            ("Metric", "Before", "Now", "Change", "Over"),
            [
                (code_cell(name.strip()), *map(plain_cell, rest))
                for name, *rest in map(metric_row, metric_changes(diff))
            ],
            right=frozenset({1, 2, 3}),
        ),
        f"**Cases:** {case_counts(diff)}",
        "\n".join(
            f"- {code(change.case_id)} {change.status.replace('_', ' ')}, {passes(change)}"
            f"{', flaky' if change.flaky else ''}"
            for change in changed_cases(diff)
        ),
        *(_text_block(diff, case_id) for case_id in diff.texts_of),
        "\n".join(f"- {sentence(note)}" for note in (*incomparable(diff), *diff.comparison.notes)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text_block(diff: Diff, case_id: str) -> str:
    base, candidate = telling_pair(diff.base, diff.candidate, case_id)
    lines = "\n".join(text_difference(base, candidate))
    words = "".join(f"\n- {sentence(text)}" for text in parting(diff, case_id))
    steps = f"\n\nSteps:\n{words}" if words else ""
    return f"### Outputs of {code(case_id)}\n\n{markdown_fence(lines, language='diff')}{steps}"


def diff_json(diff: Diff) -> str:
    """Render two runs side by side as one document, `evalkit.diff/v1`."""
    texts = []
    for case_id in diff.texts_of:
        base, candidate = telling_pair(diff.base, diff.candidate, case_id)
        texts.append(
            {
                "case_id": case_id,
                "base": answer_text(base.output) if base else None,
                "candidate": answer_text(candidate.output) if candidate else None,
                "steps": parting(diff, case_id),
            }
        )
    return json_block(
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
