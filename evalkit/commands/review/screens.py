"""Draw a session as the lines of a screen: texts that scroll, and below them the question and the keys."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.commands.review.records import (
    REVIEW_REASONS,
    Frame,
    ReviewItem,
    ReviewSession,
    levels_by_key,
)
from evalkit.core.format import format_count
from evalkit.core.judgement import CriterionVerdict
from evalkit.core.rubric import Criterion
from evalkit.core.safe_text import cell_width
from evalkit.report.content import value_cell
from evalkit.report.screen import Screen, heading

MAX_TEXT_CHARS = 20_000
"""Characters of one text that are drawn: more would slow down the drawing after every key."""

SHORT_TEXT_LINES = 5
"""Lines of a text other than the answer, unless expanded."""

HELP = (
    ("1 2 3 …", "give the level that has this number"),
    ("Enter", "next answer, when this one is complete"),
    ("s", "skip this answer until the next review"),
    ("u", "undo the last step"),
    ("n", "write a note that is stored with the level"),
    ("v", "show the judge's verdict, after you have answered"),
    ("space, b", "next page, previous page"),
    ("arrows", "one line up or down"),
    ("x", "expand or shorten long texts"),
    ("q, ^C", "stop; your levels are saved, and you can continue later"),
)


def draw_screen(session: ReviewSession, screen: Screen, rows: int) -> Frame:
    """Return a frame of exactly `rows` lines, at least three."""
    rows = max(rows, 3)
    head = screen.paint(screen.show(_title(session), screen.columns), "bold")
    body = _body(session, screen)
    # The title and the divider use two lines. On a small screen the last lines remain: the keys.
    footer = _footer(session, screen, rows)[-(rows - 2) :]
    height = rows - 2 - len(footer)
    max_scroll = max(len(body) - height, 0)
    top = 0 if session.is_help_open else min(session.scroll, max_scroll)
    shown = body[top : top + height]
    padding = [""] * (height - len(shown))
    divider = _divider(top, max_scroll - top, screen)
    return Frame(
        lines=(head, *shown, *padding, divider, *footer),
        # One line of the previous page stays in view.
        page_lines=max(height - 1, 1),
        max_scroll=max_scroll,
    )


def _title(session: ReviewSession) -> str:
    total = len(session.items)
    if session.item is None:
        return f"End of the review, {format_count(total, 'answer')}"
    answer = session.item.answer
    return f"{session.state.index + 1} of {total}   {answer.case}   {answer.rubric.name}"


def _divider(above: int, below: int, screen: Screen) -> str:
    line = "─" if screen.unicode else "-"
    parts = [f"{above} lines above"] if above else []
    parts += [f"{below} more: space"] if below else []
    text = f"{line * 2} {', '.join(parts)} " if parts else ""
    return screen.paint(text + line * (screen.columns - cell_width(text)), "dim")


def _body(session: ReviewSession, screen: Screen) -> list[str]:
    item = session.item
    if session.is_help_open:
        lines = []
        for key, what in HELP:
            folded = screen.fold(what, indent=f"{key:10}", hang=" " * 10)
            lines += screen.paint_start(folded, key, "bold")
        return lines
    if item is None:
        skipped = len(session.state.skipped)
        note = f" You skipped {skipped}; they are in the next review." if skipped else ""
        return screen.fold(f"You gave {format_count(len(session.state.decisions), 'level')}.{note}")
    asked = item.answer.question
    # The verdict comes first, so that nobody has to scroll to it past a long answer.
    texts = {"Input": asked.input, "Reference": asked.reference, "Context": asked.context}
    sections = [
        *([_verdict_section(item, screen)] if session.is_verdict_shown else []),
        *(
            _section(title, text, screen, is_whole=session.is_expanded)
            for title, text in texts.items()
            if text
        ),
        _section("Answer", asked.answer, screen, is_whole=True),
    ]
    return [line for section in sections for line in ("", *section)][1:]


def _section(title: str, text: str, screen: Screen, *, is_whole: bool) -> list[str]:
    lines = screen.quote(text or "(empty)", limit=MAX_TEXT_CHARS)
    # One line too many is shown: a hint in its place would be as long.
    if not is_whole and len(lines) > SHORT_TEXT_LINES + 1:
        more = f"  [{len(lines) - SHORT_TEXT_LINES} more lines: x]"
        lines = [*lines[:SHORT_TEXT_LINES], screen.paint(more, "dim")]
    return [heading(title, screen), *lines]


def _verdict_section(item: ReviewItem, screen: Screen) -> list[str]:
    """Return the judge's verdict, and why the answer was picked."""
    score = item.answer.score
    judgement = score.judgement
    judge = f"Judge {judgement.judge}" if judgement and judgement.judge else "Judge"
    verdicts = [each for each in judgement.verdicts if each.by != "check"] if judgement else []
    if score.value is None:
        result = f"no verdict: {score.explanation}"
    else:
        word = "" if score.passed is None else ", passed" if score.passed else ", failed"
        result = f"score {value_cell(score.value, '')}{word}"
    reasons = [REVIEW_REASONS[each] for each in item.answer.reasons]
    picked = "; ".join([*reasons, *(["drawn at random"] if item.answer.is_drawn else [])])
    return [
        heading(judge, screen),
        *(line for verdict in verdicts for line in _verdict_lines(verdict, screen)),
        *screen.fold(result, indent="  ", hang="  "),
        *screen.fold(f"picked: {picked}", indent="  ", hang="  "),
    ]


def _verdict_lines(verdict: CriterionVerdict, screen: Screen) -> Iterator[str]:
    level = f"{verdict.criterion}: {verdict.level}"
    votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
    why = f": {verdict.explanation}" if verdict.explanation else ""
    lines = screen.fold(f"{level}{votes}{why}", indent="  ", hang="    ")
    yield from screen.paint_start(lines, level, "bold", indent="  ")
    if verdict.evidence:
        missing = "" if verdict.is_quote else ", which is nowhere in what the judge was shown"
        text = f"it quotes{missing}: {verdict.evidence}"
        yield from screen.fold(text, indent="    ", hang="    ")


def _footer(session: ReviewSession, screen: Screen, rows: int) -> list[str]:
    """Return the question, the decisions on this answer, and the keys."""
    if session.is_help_open:
        return ["Press any key to return."]
    message = screen.fold(session.message) if session.message else []
    if session.draft is not None:
        cursor = "▏" if screen.unicode else "_"
        keys = screen.paint(screen.show("Enter save   Esc cancel", screen.columns), "dim")
        return [*screen.fold(f"Note: {session.draft}{cursor}", hang="  "), *message, keys]
    message = [screen.paint(line, "warn") for line in message]
    if session.item is None:
        return [*message, *_keys_line(screen, "Enter end", "u undo")]
    decided = [
        line
        for each in session.item_decisions
        for line in screen.fold(
            f"You: {each.criterion}: {each.level}" + (f" ({each.note})" if each.note else ""),
            hang="  ",
        )
    ]
    criterion = session.criterion
    if criterion is None:
        verdict = "v hide verdict" if session.is_verdict_shown else "v verdict"
        keys_line = _keys_line(screen, "Enter next", verdict, "n note", "u undo")
        return [*decided, *message, *keys_line]
    number_keys = list(levels_by_key(criterion))
    return [
        *decided,
        *_question_lines(criterion, screen, max(rows // 2 - len(decided) - len(message), 2)),
        *(screen.fold(f"Note: {session.state.note}", hang="  ") if session.state.note else []),
        *message,
        *_keys_line(
            screen, f"{number_keys[0]}-{number_keys[-1]} level", "s skip", "u undo", "n note"
        ),
    ]


def _keys_line(screen: Screen, *keys: str) -> list[str]:
    """Return one line of keys; on a narrow screen the help and stop keys remain longest."""
    shown = [*keys, "q stop", "? help"]
    while len(shown) > 2 and cell_width("   ".join(shown)) > screen.columns:
        shown.pop(-3 if len(shown) > 3 else 0)
    return [screen.paint(screen.show("   ".join(shown), screen.columns), "dim")]


def _question_lines(criterion: Criterion, screen: Screen, height: int) -> list[str]:
    """Return the question and its levels: with full descriptions, with short ones, or in one line."""
    question = screen.fold(f"{criterion.name}: {criterion.question}", hang="  ")
    question = screen.paint_start(question, f"{criterion.name}:", "bold")
    levels = levels_by_key(criterion)
    names = {key: screen.show(level.name, screen.columns // 2) for key, level in levels.items()}
    wide = max(map(cell_width, names.values()))
    labels = {key: f" {key} {name}{' ' * (wide - cell_width(name))}" for key, name in names.items()}
    full = [
        line.rstrip()
        for key, level in levels.items()
        for line in screen.fold(level.description, indent=f"{labels[key]}  ", hang=" " * (wide + 5))
    ]
    short = [
        screen.show(f"{labels[key]}  {level.description}", screen.columns).rstrip()
        for key, level in levels.items()
    ]
    for lines in (full, short):
        if len(question) + len(lines) <= height:
            return [*question, *lines]
    row = screen.fold("  ".join(f"{key} {name}" for key, name in names.items()), indent=" ")
    return [*question[: max(height - len(row), 1)], *row]
