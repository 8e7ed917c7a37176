"""Render several runs as one Markdown summary, or as one pull request comment: a row for each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.core.safe_text import head, markdown_code, markdown_fence, one_line
from evalkit.core.serialization import digest
from evalkit.report import markdown
from evalkit.report.batch import Batch, BatchPart
from evalkit.report.markdown import Block
from evalkit.report.pr_comment import (
    ANY_PLACE,
    CommentPlace,
    PullRequestComment,
    find_url,
    fit_comment,
    place_block,
    render_comment,
)

_MAX_ROWS = 200
_MAX_PROBLEM_CHARS = 3000
_HEADING = "## "


def render_batch_markdown(batch: Batch, *, max_bytes: int = markdown.SUMMARY_LIMIT) -> str:
    """Render several runs as Markdown of at most `max_bytes` in UTF-8, those that did not pass first.

    One run is rendered as if it had been named by itself.
    """
    if batch.only_report is not None:
        return markdown.render_markdown(batch.only_report, max_bytes=max_bytes)
    limit = max_bytes // (len(batch.reports) + 1)
    sections = [
        (part, markdown.render_markdown(part.report, max_bytes=limit))
        for part in batch.parts
        if part.report is not None
    ]
    return markdown.fit_blocks([*_summary_blocks(batch), *_section_blocks(sections)], max_bytes)


def render_batch_comment(
    batch: Batch, place: CommentPlace = ANY_PLACE, *, job: str = ""
) -> PullRequestComment:
    """Render one comment on several runs; for one run, as for that by itself, but identified by the job.

    Args:
        batch: the runs.
        place: where the comment is shown.
        job: identifies the comment if the place has no key: the workflow and the job that runs the sets.
    """
    marker = f"<!-- evalkit:{digest(['batch', job])} -->"
    if batch.only_report is not None:
        return render_comment(batch.only_report, place, marker=marker)
    limit = place.max_bytes // (len(batch.reports) + 1)
    # The summary says once what holds for all runs.
    inner = replace(place, max_bytes=limit, key="", commit="", how_to_accept="", details="")
    comments = [
        (part, render_comment(part.report, inner))
        for part in batch.parts
        if part.report is not None
    ]
    sections = [(part, found.body) for part, found in comments if found.has_changes]
    head, *rest = _summary_blocks(batch)
    about = place_block(
        place, [part.exit_code for part in batch.parts if part.state != "nothing_selected"]
    )
    blocks = [head, about, *rest, *_section_blocks(sections), Block(1, find_url(place.details))]
    is_incomplete = any(part.report is None for part in batch.parts)
    return fit_comment(blocks, marker, place, has_changes=is_incomplete or bool(sections))


def _summary_blocks(batch: Batch) -> Iterator[Block]:
    """Yield the result of all runs, a row for each, and why runs have no report."""
    if batch.reports:
        yield Block(0, f"{_HEADING}{batch.word}: {batch.reason}")
        yield from _table_blocks(batch)
    else:
        yield Block(0, f"{_HEADING}NOT DECIDED: there is no result")
    for part in batch.parts:
        if part.report is None:
            name = markdown.inline_code(part.label)
            problem = markdown_fence(head(part.problem, _MAX_PROBLEM_CHARS))
            yield Block(1, f"**{part.word}:** {name}\n\n{problem}")
    for hint in batch.hints:
        command = markdown_code(one_line(hint.command, 600))
        yield Block(1, f"{markdown.sentence_text(hint.label)}: {command}")
    yield Block(2, "\n".join(f"- {markdown.sentence_text(note)}" for note in batch.notes))


def _table_blocks(batch: Batch) -> Iterator[Block]:
    """Yield a row for each run."""
    rows = [
        (part.word, markdown.code_cell(part.label), _threshold_cell(part))
        for part in batch.parts[:_MAX_ROWS]
    ]
    titles = ("Result", batch.noun.capitalize(), "Threshold")
    yield Block(0, markdown.markdown_table(titles, rows, right=()))
    left_out = len(batch.parts) - _MAX_ROWS
    yield Block(0, f"and {left_out:,} more" if left_out > 0 else "")


def _threshold_cell(part: BatchPart) -> str:
    shown = part.headline
    if shown is None:
        return ""
    values = markdown.plain_cell(shown.join("to"))
    held = markdown.plain_cell(f"{part.held.replace('/', ' of ')} hold")
    return f"{markdown.code_cell(shown.rule)} {values}; {held}"


def _section_blocks(sections: Sequence[tuple[BatchPart, str]]) -> Iterator[Block]:
    """Yield each run in full: first those that exit with an error, then the others, folded."""
    for part, text in sections:
        if part.exit_code:
            yield Block(3, _lower_heading(text))
    folded = [_lower_heading(text) for part, text in sections if not part.exit_code]
    # Blocks that do not fit are left out one by one, so each has its own fold.
    for text in folded:
        yield Block(4, markdown.details_block("A run with exit code 0, in full", [text]))


def _lower_heading(text: str) -> str:
    return f"#{text}" if text.startswith(_HEADING) else text
