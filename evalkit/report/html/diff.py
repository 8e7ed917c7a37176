"""Two versions side by side as a page, with the outputs of every case that changed; more of them as a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.compare.matrix import MatrixCell
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import CaseChange
from evalkit.core.safe_text import head, one_line
from evalkit.core.trial import Trial
from evalkit.report import matrix as words
from evalkit.report.case_status import answer_text, input_text, json_text, representative_pair
from evalkit.report.diff import (
    case_counts_text,
    changed_cases,
    list_incomparable,
    metric_change_row,
    metric_changes,
    passes_change_text,
    side_names,
    spans_of,
    tool_call_diff_lines,
)
from evalkit.report.html.markup import Html, join, tag, word_diff
from evalkit.report.html.page import render_page
from evalkit.report.html.report import html_table
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import Diff, VersionMatrix

_MAX_CASES = 300
_MAX_ROWS = 300
_MAX_PAGE_CHARS = 400_000
"""Of all texts together, so that the page stays under a megabyte."""

_MIN_TEXT_CHARS = 200
_MAX_TEXT_CHARS = 4000
_MAX_WATERFALL_BYTES = 40_000
_MAX_LABEL_CHARS = 60
"""Of a version; every cell of a table names its column."""


def render_diff(diff: Diff) -> str:
    """Render two runs side by side as one self-contained page."""
    before, now = side_names(diff)
    rows = [
        (tag("b", name) if change.tag is None else name, *rest)
        for change, (name, *rest) in (
            (change, metric_change_row(change)) for change in metric_changes(diff)[:_MAX_ROWS]
        )
    ]
    body = join(
        [
            tag(
                "header",
                tag("h1", diff.base.header.evalset),
                tag("p", f"{before} → {now}", class_="reason"),
            ),
            _section(
                "Metrics",
                html_table(("metric", "before", "now", "change", "over"), rows, name="metrics"),
            ),
            _section("Cases", tag("p", case_counts_text(diff), class_="count"), join(_cases(diff))),
            _notes([*list_incomparable(diff), *diff.comparison.notes]),
        ]
    )
    return render_page(f"{diff.base.header.evalset}: {before} and {now}", tag("main", body))


def _section(title: str, *children: Html) -> Html:
    return tag("section", tag("h2", title), *children)


def _notes(notes: Sequence[str]) -> Html | None:
    return _section("Notes", tag("ul", join(tag("li", note) for note in notes))) if notes else None


def _limit_for(texts: int) -> int:
    return max(_MIN_TEXT_CHARS, min(_MAX_TEXT_CHARS, _MAX_PAGE_CHARS // max(texts, 1)))


def _cases(diff: Diff) -> Iterator[Html]:
    """The cases that differ, and those that were asked for, which stand open."""
    changes = {change.case_id: change for change in diff.comparison.cases}
    wanted = [changes[case_id] for case_id in diff.detailed_case_ids if case_id in changes]
    others = [
        change for change in changed_cases(diff) if change.case_id not in diff.detailed_case_ids
    ]
    shown = [*wanted, *others][:_MAX_CASES]
    cases = {case.id: case for run in (diff.base, diff.candidate) for case in run.header.cases}
    limit = _limit_for(6 * len(shown))
    for change in shown:
        yield _case(diff, change, cases.get(change.case_id), limit)
    left_out = len(wanted) + len(others) - len(shown)
    if left_out:
        yield tag("p", f"{left_out:,} more cases differ", class_="about")


def _case(diff: Diff, change: CaseChange, case: Case | None, limit: int) -> Html:
    is_wanted = change.case_id in diff.detailed_case_ids
    summary = tag(
        "summary",
        tag("span", change.status.replace("_", " "), class_=f"mark {change.status}"),
        tag("span", change.case_id, class_="name"),
        tag("span", passes_change_text(change), class_="passes"),
        tag("span", "flaky" if change.flaky else "", class_="because"),
    )
    parts = [tag("h4", "asked"), tag("pre", head(input_text(case), limit))] if case else []
    if case is not None and case.expected is not None:
        parts += [tag("h4", "expected"), tag("pre", head(json_text(case.expected), limit))]
    base, candidate = representative_pair(diff.base, diff.candidate, change.case_id)
    parts += _answers(base, candidate, limit)
    if is_wanted:
        parts += _steps(diff, change.case_id, (base, candidate), limit)
    return tag(
        "details",
        summary,
        tag("div", join(parts), class_="detail"),
        class_="case",
        id=f"case-{change.case_id}",
        open=is_wanted,
    )


def _answers(base: Trial | None, candidate: Trial | None, limit: int) -> list[Html]:
    before, now = (_answer(trial, limit) for trial in (base, candidate))
    if base is None or candidate is None:
        return [
            tag("h4", "before" if base else "now"),
            tag("pre", (before if base else now) or "in neither run"),
        ]
    if before == now:
        return [tag("h4", "the same output"), tag("pre", now or "(empty)")]
    return [
        tag("h4", "output, from before to now"),
        tag("pre", word_diff(before, now), class_="difference"),
    ]


def _answer(trial: Trial | None, limit: int) -> str:
    if trial is None:
        return ""
    error = trial.output.error
    text = answer_text(trial.output) if error is None else f"{error.kind}: {error.message}"
    return head(text, limit)


def _steps(
    diff: Diff, case_id: str, trials: tuple[Trial | None, Trial | None], limit: int
) -> list[Html]:
    """Where the steps of both trials part, and the steps of each."""
    said = tool_call_diff_lines(diff, case_id)
    parts = [tag("ul", join(tag("li", line[:limit]) for line in said))] if said else []
    room = _MAX_WATERFALL_BYTES // max(len(diff.detailed_case_ids), 1)
    for side, steps in zip(("before", "now"), spans_of(diff, trials), strict=True):
        drawn = render_waterfall(steps, limit, room)
        if drawn is not None:
            parts += [tag("h4", side), drawn]
    return parts


def render_matrix(shown: VersionMatrix) -> str:
    """Render several versions side by side as one self-contained page."""
    name = shown.runs[0].header.evalset
    labels = [one_line(label, _MAX_LABEL_CHARS) for label in shown.labels]
    metrics = [
        (tag("b", words.row_name(row)), *(_cell(cell, row.unit) for cell in row.cells))
        for row in shown.matrix.rows[:_MAX_ROWS]
    ]
    cases = [
        (tag("b", case.case_id), *words.case_row(case))
        for case in shown.matrix.cases[: words.MAX_LISTED_CASES]
    ]
    body = join(
        [
            tag(
                "header",
                tag("h1", name),
                tag("p", words.matrix_intro(shown), class_="reason"),
                tag("dl", join(_version_list(shown)), class_="facts"),
            ),
            _section(
                "Metrics", _scrollable(html_table(("metric", *labels), metrics, name="matrix"))
            ),
            _section(
                words.cases_title(shown),
                _scrollable(html_table(("case", "pass in", *labels), cases, name="matrix")),
            ),
            join(_texts(shown)),
            _notes(words.matrix_notes(shown)),
        ]
    )
    return render_page(f"{name}: {len(shown.runs)} versions", tag("main", body))


def _scrollable(inside: Html) -> Html:
    return tag("div", inside, class_="wide")


def _version_list(shown: VersionMatrix) -> Iterator[Html]:
    for label, fact in words.version_rows(shown):
        yield join([tag("dt", label), tag("dd", fact)])


def _cell(cell: MatrixCell, unit: str) -> Html:
    change = words.cell_change_text(cell) if cell.change is not None else ""
    return join(
        [words.mean_with_interval(cell, unit), tag("p", change, class_="why") if change else None]
    )


def _texts(shown: VersionMatrix) -> Iterator[Html]:
    limit = _limit_for(2 * len(shown.detailed_case_ids) * len(shown.runs))
    for case_id in shown.detailed_case_ids:
        first, *others = words.representative_trials(shown, case_id)
        parts = []
        for label, trial in zip(shown.labels[1:], others, strict=True):
            parts += [tag("h3", f"{shown.labels[0]} → {label}"), *_answers(first, trial, limit)]
        yield _section(f"Outputs of {case_id}", *parts)
