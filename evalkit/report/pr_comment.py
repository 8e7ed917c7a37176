"""Render a run as a pull request comment: gate result, broken cases, next steps, folded details.

The first line is an invisible marker that identifies the comment of a set. It contains a digest, no data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.core.errors import EXIT_FAILED, ApprovalNeeded
from evalkit.core.format import format_count
from evalkit.core.gate_result import Check
from evalkit.core.safe_text import markdown_text, one_line
from evalkit.core.serialization import digest
from evalkit.report import content, markdown
from evalkit.report.case_status import (
    CaseResult,
    case_results,
    cases_with_passes,
    passes_change,
    reason_text,
    secondary_cases,
    status_counts_text,
    worst_first,
)
from evalkit.report.model import Report
from evalkit.report.run_facts import list_run_facts
from evalkit.report.verdict import brief_reason, headline_numbers, verdict_reason, verdict_word

_TITLES = ("Baseline", "This change", "Difference")
_CASE_TITLES = ("Case", "Passes", "Why")
_MAX_THRESHOLDS = 20
_MAX_CASES = 5
_MAX_NAMED_CASES = 40
_MAX_REASON_CHARS = 160
_ACCEPTED_CODES = {EXIT_FAILED, ApprovalNeeded.exit_code}
# The address comes from the environment, so only plain characters become a link.
_URL = re.compile(r"https?://[A-Za-z0-9.:/_?=%-]{1,300}")
_FOLD = re.compile(
    r"<details>\n<summary>(?P<title>.*)</summary>\n\n(?P<inside>.*)\n\n</details>", re.DOTALL
)
_PLAIN_MAX_RANK = 3
"""The last rank of the blocks that a host without HTML shows, because it cannot fold any."""


class PullRequestComment(NamedTuple):
    """A comment: markers, text, the marker it begins with, and whether it reports any change."""

    head: str
    body: str
    marker: str
    has_changes: bool

    @property
    def text(self) -> str:
        """The whole comment."""
        return f"{self.head}{self.body}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CommentPlace:
    """Where a comment is shown: the URL of the build, and the commit that the comment is about.

    `key` identifies the comment of a job; without it, the set does. `how_to_accept` is a sentence on how a
    change is accepted there. A comment has at most `max_bytes` in UTF-8. Where Markdown has no HTML, the
    markers are links that nothing refers to, and most details are left out, because nothing can fold them.
    """

    details: str = ""
    commit: str = ""
    key: str = ""
    how_to_accept: str = ""
    max_bytes: int = markdown.COMMENT_LIMIT
    has_html: bool = True


ANY_PLACE = CommentPlace()
"""A place on a host like GitHub, of no known build."""


def render_comment(
    report: Report, place: CommentPlace = ANY_PLACE, *, marker: str = ""
) -> PullRequestComment:
    """Render the comment on a run; a `marker` identifies it instead of the set."""
    results = case_results(report.run, report.gate_result, report.baseline)
    marker = marker or comment_marker(report.run.header.evalset_path, report.run.header.evalset)
    return fit_comment(
        _blocks(report, results, place),
        marker,
        place,
        has_changes=_has_changes(report, results),
    )


def fit_comment(
    blocks: Sequence[markdown.Block], marker: str, place: CommentPlace, *, has_changes: bool
) -> PullRequestComment:
    """Join blocks to a comment as its host allows; a key of the place replaces the marker."""
    if place.key:
        marker = f"<!-- evalkit:{place.key} -->"
    state = comment_state("decided", place.commit) if place.commit else ""
    if not place.has_html:
        marker, state = _plain_marker(marker), _plain_marker(state) if state else ""
        blocks = [_unfold(block) for block in blocks if block.rank <= _PLAIN_MAX_RANK]
    gap = "\n" if place.has_html else "\n\n"
    head = "".join(f"{line}{gap}" for line in (marker, state) if line)
    return PullRequestComment(
        head=head,
        body=markdown.fit_blocks(blocks, place.max_bytes - len(head)),
        marker=marker,
        has_changes=has_changes,
    )


def _plain_marker(marker: str) -> str:
    return f"[//]: # ({marker.removeprefix('<!-- ').removesuffix(' -->')})"


def _unfold(block: markdown.Block) -> markdown.Block:
    """Return a block with its title in bold instead of a fold."""
    fold = _FOLD.fullmatch(block.text)
    return block._replace(text=f"**{fold['title']}**\n\n{fold['inside']}") if fold else block


def comment_marker(path: str, name: str) -> str:
    """Return the first line of a comment, which identifies the comment of a set."""
    return f"<!-- evalkit:{digest([path, name])} -->"


def comment_state(state: str, commit: str) -> str:
    """Return the second line of a comment: the action reads which commit it is about."""
    return f"<!-- evalkit-state:{state} commit:{commit} -->"


def find_url(details: str) -> str:
    """Return the line that leads to the workflow run; empty if `details` is no plain URL."""
    return f"Run and reports: {details}" if _URL.fullmatch(details) else ""


def _has_changes(report: Report, results: Sequence[CaseResult]) -> bool:
    """Return whether the gate did not pass or was edited, or a case changed."""
    gate_result = report.gate_result
    edited = gate_result.gate is not None and bool(gate_result.gate.changes)
    unguarded = gate_result.definition is not None and gate_result.definition.warning
    changed = any(
        result.is_broken
        or result.status in ("fixed", "not_run")
        or (result.status == "flaky" and result.fails)
        for result in results
    )
    return gate_result.outcome != "pass" or edited or unguarded or changed


def _blocks(
    report: Report, results: Sequence[CaseResult], place: CommentPlace
) -> list[markdown.Block]:
    """Return the parts in reading order."""
    header, result = report.run.header, report.gate_result
    brief, full = brief_reason(header, result), verdict_reason(header, result)
    sentences = (
        "" if full == brief else f"- {markdown.sentence_text(full)}",
        markdown.unreported_checks_block(result),
    )
    thresholds = [
        markdown.thresholds_block(report, _TITLES, _MAX_THRESHOLDS, _check_cells),
        "\n".join(filter(None, sentences)),
    ]
    return [
        markdown.Block(0, _heading(report)),
        markdown.Block(0, markdown.sentence_text(_without_numbers(brief, report))),
        place_block(place, [report.gate_result.exit_code]),
        markdown.Block(0, markdown.definition_block(report)),
        markdown.Block(1, markdown.gate_block(report)),
        markdown.Block(1, _cases_block(results)),
        markdown.Block(2, markdown.breakage_block(report)),
        markdown.Block(1, markdown.details_block(_thresholds_title(report), thresholds)),
        markdown.Block(2, markdown.details_block("All cases that changed", [_all_cases(results)])),
        markdown.Block(
            1, markdown.details_block("Look closer, or accept", [markdown.next_steps_block(report)])
        ),
        *markdown.details_blocks(report, results),
        markdown.Block(1, "\n".join(list_run_facts(report))),
        markdown.Block(1, find_url(place.details)),
    ]


def place_block(place: CommentPlace, exit_codes: Iterable[int]) -> markdown.Block:
    """Return which commit a comment is about, and how it is accepted if that lets every run pass."""
    commit = f"Commit {markdown.inline_code(place.commit[:10])}." if place.commit else ""
    codes = {code for code in exit_codes if code}
    road = place.how_to_accept if codes and codes <= _ACCEPTED_CODES else ""
    return markdown.Block(0, " ".join(filter(None, (commit, markdown.sentence_text(road)))))


def _without_numbers(brief: str, report: Report) -> str:
    """Return the brief reason without what it begins with, if that is in the heading."""
    numbers = headline_numbers(report.run.header, report.gate_result)
    if numbers is None:
        return brief
    start = f"{numbers.rule} {numbers.join('->')}, "
    for each in (start, f"FAIL {start}"):
        if brief.startswith(each):
            rest = brief.removeprefix(each)
            return f"{rest[:1].upper()}{rest[1:]}"
    return brief


def _heading(report: Report) -> str:
    """Return the verdict, the set, and the numbers of the threshold that decides."""
    header, result = report.run.header, report.gate_result
    word, numbers = verdict_word(header, result), headline_numbers(header, result)
    more = f", {markdown.code_cell(numbers.rule)} {numbers.join('->')}" if numbers else ""
    return f"## {word}: {markdown.inline_code(header.evalset)}{more}"


def _cases_block(results: Sequence[CaseResult]) -> str:
    """Return how many cases have each status, and the worst ones in a table that fits a phone."""
    broken = worst_first(results)
    rows = [
        (
            markdown.code_cell(result.case.id),
            markdown.plain_cell(passes_change(result.change)),
            markdown_text(one_line(reason_text(result), _MAX_REASON_CHARS)).replace("|", "\\|"),
        )
        for result in broken[:_MAX_CASES]
    ]
    worst = f"; worst {len(rows)}:" if len(rows) < len(broken) else ""
    return markdown.join_blocks(
        (
            f"**Cases:** {status_counts_text(results)}{worst}",
            markdown.markdown_table(_CASE_TITLES, rows, right=(1,)),
        )
    )


def _all_cases(results: Sequence[CaseResult]) -> str:
    """Return the names of all cases that are broken, flaky, failing as before, or fixed."""
    groups = [("Broken", worst_first(results)), *secondary_cases(results)]
    return markdown.join_blocks(
        f"{title}: {markdown.sentence_text(cases_with_passes(found, _MAX_NAMED_CASES))}"
        for title, found in groups
        if found
    )


def _thresholds_title(report: Report) -> str:
    """Return how many thresholds there are, and how many have each outcome."""
    checks = content.checks_by_urgency(report.gate_result)
    counts = Counter(content.OUTCOME_WORDS[check.outcome] for check in checks)
    parts = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"{format_count(len(checks), 'threshold')}: {parts}" if checks else "No threshold"


def _check_cells(check: Check, unit: str) -> tuple[str, str, str]:
    """Return the cells of a threshold, with the interval of the difference or of the value."""
    baseline, now, change = content.check_cells(check, unit)
    interval = _interval_text(check, unit)
    if check.difference is None:
        return baseline, f"{now}{interval}", change
    return baseline, now, f"{change}{interval}"


def _interval_text(check: Check, unit: str) -> str:
    """Return the interval of the difference, or of the value if there is no difference."""
    if check.low is None or check.high is None:
        return ""
    if check.difference is None:
        low, high = content.value_cell(check.low, unit), content.value_cell(check.high, unit)
    else:
        low, high = (
            content.change_cell(bound, unit).removesuffix(" pt")
            for bound in (check.low, check.high)
        )
    return f" ({low} to {high})"
