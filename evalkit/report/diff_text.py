"""Render a comparison of two runs for a terminal: what changed on one screen, the rest as a count."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseChange, MetricChange
from evalkit.core.literals import CaseStatus
from evalkit.core.safe_text import cell_width
from evalkit.report import diff_content
from evalkit.report.case_status import BROKEN_STATUSES, representative_pair
from evalkit.report.content import value_cell
from evalkit.report.model import Diff
from evalkit.report.screen import Cell, Screen, Style, align_columns, heading, join_sections
from evalkit.report.span_lines import render_side_by_side
from evalkit.report.tool_call_diff import tool_call_diff_lines

_STATUS_STYLES: dict[CaseStatus, Style] = {
    "regressed": "bad",
    "fixed": "good",
    "failing": "bad",
    "error": "warn",
}
_LINE_STYLES: dict[str, Style] = {"-": "bad", "+": "good", "@": "dim"}
_WORD_STYLES: dict[str, Style] = {"worse": "bad", "better": "good"}
_ORDER = ("worse", "better", "level", "same")
_TITLES = ("", "", "before", "now", "change", "")
_MIN_CASES = 5
_MAX_ID_CELLS = 500


def diff_text(diff: Diff, screen: Screen, *, verbose: bool = False) -> str:
    """Render what changed between two runs; with `verbose`, every metric, tag, and case."""
    lead = [_headline(diff, screen), _metric_lines(diff, screen, verbose=verbose)]
    details = [
        section(diff, case_id, screen)
        for case_id in diff.detailed_case_ids
        for section in (_text_section, _steps_section)
    ]
    notes = screen.fold_all(diff_content.diff_notes(diff), indent="  - ", hang="    ")
    end = [notes, [_closing_line(diff, screen)]]
    changed = _order_cases(diff)
    # The line with the counts, that on what is left out, an empty line, and the next prompt.
    used = join_sections([*lead, *end]).count("\n") + 4
    most = len(changed) if verbose else max(screen.height - used, _MIN_CASES)
    return join_sections([*lead, _case_lines(diff, changed, most, screen), *details, *end])


def _side_versions(diff: Diff) -> tuple[str, str]:
    """Return the version of each side, or the run ids if both versions are the same."""
    base, candidate = diff.base.header, diff.candidate.header
    if base.agent_version and candidate.agent_version not in ("", base.agent_version):
        return base.agent_version, candidate.agent_version
    return base.id, candidate.id


def _word(change: MetricChange, diff: Diff) -> str:
    """Return `worse` or `better` for a change that is proven, `level` for one that may be noise.

    A metric that shows the same value is the `same`.
    """
    if value_cell(change.base, change.unit) == value_cell(change.candidate, change.unit):
        return "same"
    if change.metric not in diff.proven or not change.difference:
        return "level"
    return "better" if (change.difference > 0) == change.higher_is_better else "worse"


def _headline(diff: Diff, screen: Screen) -> list[str]:
    """Return how many metrics and cases got worse and better."""
    changes = [each for each in diff_content.metric_changes(diff) if each.tag is None]
    words = [_word(each, diff) for each in changes]
    statuses = [each.status for each in diff.comparison.cases]
    broken = sum(status in BROKEN_STATUSES for status in statuses)
    fixed = statuses.count("fixed")
    metrics = [f"{words.count(word)} {word}" for word in ("worse", "better") if word in words]
    of = f" of {format_count(len(changes), 'metric')}"
    metric_text = (
        f"{' and '.join(metrics)}{of}" if metrics else f"no change proven in {len(changes)} metrics"
    )
    case_text = f"{format_count(broken, 'case')} worse, {fixed:,} fixed"
    before, now = _side_versions(diff)
    lines = screen.fold(f"{before} -> {now}: {metric_text}; {case_text}", hang="  ")
    return [screen.paint(line, "bold") for line in lines]


def _metric_lines(diff: Diff, screen: Screen, *, verbose: bool) -> list[str]:
    """Return the metrics that changed, those proven first, and one line that counts the others."""
    changes = diff_content.metric_changes(diff)
    tagged = verbose or bool(diff.tags)
    shown = [
        each
        for each in changes
        if (tagged or each.tag is None) and (verbose or _word(each, diff) != "same")
    ]
    if not tagged:
        shown.sort(key=lambda each: _ORDER.index(_word(each, diff)))
    rows: list[Sequence[Cell | str]] = []
    for change in shown:
        # The exact test is of all cases, so a tag has numbers without a word.
        word = _word(change, diff) if change.tag is None else ""
        cells = diff_content.metric_change_row(change)
        rows.append((Cell(word, _WORD_STYLES.get(word, "dim")), *cells))
    lines = align_columns(rows, screen, titles=_TITLES, shrinkable={1: 12}, right=(2, 3, 4))
    hidden = [each for each in changes if each not in shown]
    same = [each.metric for each in hidden if each.tag is None]
    by_tag = sum(each.tag is not None for each in hidden)
    parts = [f"same: {', '.join(same)}"] if same else []
    if by_tag:
        parts.append(f"{format_count(by_tag, 'row')} by tag: -v")
    return [*lines, *screen.fold("; ".join(parts), indent="  ", hang="    ")] if parts else lines


def _order_cases(diff: Diff) -> list[CaseChange]:
    """Return the changed cases: those that need attention, then the fixed ones, then the others."""

    def rank(change: CaseChange) -> int:
        if change.status in BROKEN_STATUSES:
            return 0
        return 1 if change.status == "fixed" else 2

    return sorted(diff_content.changed_cases(diff), key=rank)


def _case_lines(diff: Diff, changed: Sequence[CaseChange], most: int, screen: Screen) -> list[str]:
    counts = screen.fold(f"Cases: {diff_content.case_counts_text(diff)}", hang="  ")
    lines = screen.paint_start(counts, "Cases", "bold")
    shown = changed[:most]
    rows = [
        (
            Cell(diff_content.change_label(change), _STATUS_STYLES.get(change.status, "")),
            screen.show(change.case_id, _MAX_ID_CELLS),
            diff_content.change_passes(change),
        )
        for change in shown
    ]
    lines += align_columns(rows, screen, shrinkable={2: 22})
    if len(changed) > len(shown):
        one = f"; one in full: --case {shown[0].case_id}" if shown else ""
        text = f"{len(changed) - len(shown):,} more changed: -v{one}"
        lines += screen.fold(text, indent="  ", hang="    ")
    return lines


def _closing_line(diff: Diff, screen: Screen) -> str:
    before, now = diff_content.side_names(diff)
    sizes = " and ".join(
        format_count(run.header.trials, "trial") for run in (diff.base, diff.candidate)
    )
    full = f"{before} -> {now}  {sizes} per case"
    if cell_width(full) <= screen.columns:
        return full
    return screen.show(f"{' -> '.join(_side_versions(diff))}  {sizes} per case", screen.columns)


def _text_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    lines = [heading(f"Outputs of {case_id}", screen)]
    for line in diff_content.unified_text_diff(
        *representative_pair(diff.base, diff.candidate, case_id)
    ):
        style = _LINE_STYLES.get(line[:1], "")
        lines += [screen.paint(part, style) for part in screen.fold(line, indent="  ", hang="    ")]
    return lines


def _steps_section(diff: Diff, case_id: str, screen: Screen) -> list[str]:
    sentences = tool_call_diff_lines(diff, case_id)
    if not sentences:
        return []
    lines = [heading(f"Steps of {case_id}", screen)]
    lines += screen.fold_all(sentences, indent="  ", hang="    ")
    trials = representative_pair(diff.base, diff.candidate, case_id)
    before, now = diff.find_spans(*trials)
    if before and now:
        titles = [
            f"{run.header.agent_version}, trial {trial.number + 1}" if trial else ""
            for run, trial in zip((diff.base, diff.candidate), trials, strict=True)
        ]
        lines += ["", *render_side_by_side(before, now, (titles[0], titles[1]), screen)]
    return lines
