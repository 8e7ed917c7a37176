"""A sitting as the lines of a screen: the texts in a part that scrolls, below it what is asked and the keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.commands.review.answers import REVIEW_REASONS
from evalkit.commands.review.session import ReviewItem, ReviewSession, Viewport, levels_by_key
from evalkit.core.judgement import CriterionVerdict
from evalkit.core.rubric import Criterion
from evalkit.core.safe_text import cell_width
from evalkit.report.content import value_cell
from evalkit.report.screen import Screen, heading

MAX_TEXT_CHARS = 20_000
"""Characters of one text: nobody reads more of it here, and a screen is drawn after every key."""

SHORT_TEXT_LINES = 5
"""Lines of a text other than the answer, until all is asked for."""

HELP = (
    ("1 2 3 …", "give the level that has this number"),
    ("Enter", "go on, once all is answered"),
    ("s", "skip this answer; it is asked again another time"),
    ("u", "undo the last step"),
    ("n", "write a note that is kept with the level"),
    ("v", "show the judge's verdict, once you have answered"),
    ("space, b", "a page on, a page back"),
    ("arrows", "one line up or down"),
    ("x", "show long texts whole, or short again"),
    ("q, ^C", "stop here and go on later: all that was answered is kept"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The lines to show, and what of the texts fits among them."""

    lines: tuple[str, ...]
    view: Viewport


def draw_screen(sitting: ReviewSession, screen: Screen, rows: int) -> Frame:
    """Exactly `rows` lines, at least three."""
    rows = max(rows, 3)
    head = screen.paint(screen.show(_title_line(sitting), screen.columns), "bold")
    body = _body(sitting, screen)
    foot = _footer(sitting, screen, rows)
    foot = foot[max(len(foot) - (rows - 2), 0) :]
    room = rows - 2 - len(foot)
    view = Viewport(page_lines=max(room - 1, 1), max_scroll=max(len(body) - room, 0))
    at = 0 if sitting.is_help_open else min(sitting.scroll, view.max_scroll)
    shown = body[at : at + room]
    padding = [""] * (room - len(shown))
    rule = _divider(at, view.max_scroll - at, screen)
    return Frame(lines=(head, *shown, *padding, rule, *foot), view=view)


def _title_line(sitting: ReviewSession) -> str:
    total = len(sitting.items)
    if sitting.item is None:
        return f"All {total} of {total}"
    answer = sitting.item.answer
    return f"{sitting.state.index + 1} of {total}   {answer.case}   {answer.rubric.name}"


def _divider(above: int, below: int, screen: Screen) -> str:
    line = "─" if screen.unicode else "-"
    parts = [f"{above} lines above"] if above else []
    parts += [f"{below} more: space"] if below else []
    text = f"{line * 2} {', '.join(parts)} " if parts else ""
    return screen.paint(text + line * (screen.columns - cell_width(text)), "dim")


def _body(sitting: ReviewSession, screen: Screen) -> list[str]:
    if sitting.is_help_open:
        return [line for key, what in HELP for line in _key_lines(key, what, screen)]
    item = sitting.item
    if item is None:
        return _closing_lines(sitting, screen)
    asked = item.answer.question
    sections = _verdict_blocks(item, screen) if sitting.is_verdict_shown else []
    for title, text in (
        ("Input", asked.input),
        ("Reference", asked.reference),
        ("Context", asked.context),
    ):
        if text:
            sections.append(_section(title, text, screen, is_whole=sitting.is_expanded))
    sections.append(_section("Answer", asked.answer, screen, is_whole=True))
    lines = [line for section in sections for line in ("", *section)]
    return lines[1:]


def _section(title: str, text: str, screen: Screen, *, is_whole: bool) -> list[str]:
    lines = screen.quote(text or "(empty)", limit=MAX_TEXT_CHARS)
    # One line more than allowed is shown: to say that it is missing would take as much room.
    if not is_whole and len(lines) > SHORT_TEXT_LINES + 1:
        more = f"  [{len(lines) - SHORT_TEXT_LINES} more lines: x]"
        lines = [*lines[:SHORT_TEXT_LINES], screen.paint(more, "dim")]
    return [heading(title, screen), *lines]


def _key_lines(key: str, what: str, screen: Screen) -> list[str]:
    lines = screen.fold(what, indent=f"{key:10}", hang=" " * 10)
    return screen.paint_start(lines, key, "bold")


def _closing_lines(sitting: ReviewSession, screen: Screen) -> list[str]:
    skipped = len(sitting.state.skipped)
    note = f" {skipped} skipped: they are asked again another time." if skipped else ""
    return screen.fold(f"All is looked at, {len(sitting.state.decisions)} levels given.{note}")


def _verdict_blocks(item: ReviewItem, screen: Screen) -> list[list[str]]:
    """What the judge said, and why the answer was picked."""
    score = item.answer.score
    said = score.judgement
    judge = f"Judge {said.judge}" if said and said.judge else "Judge"
    verdicts = [each for each in said.verdicts if each.by != "check"] if said else []
    lines = [line for verdict in verdicts for line in _verdict_lines(verdict, screen)]
    if score.value is None:
        lines += screen.fold(f"no verdict: {score.explanation}", indent="  ", hang="  ")
    else:
        word = "" if score.passed is None else ", passed" if score.passed else ", failed"
        lines += screen.fold(f"score {value_cell(score.value, '')}{word}", indent="  ", hang="  ")
    whys = [REVIEW_REASONS[why] for why in item.answer.reasons]
    picked = "; ".join([*whys, *(["drawn by lot"] if item.sampled.is_drawn else [])])
    lines += screen.fold(f"picked: {picked}", indent="  ", hang="  ")
    return [[heading(judge, screen), *lines]]


def _verdict_lines(verdict: CriterionVerdict, screen: Screen) -> Iterator[str]:
    votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
    why = f": {verdict.explanation}" if verdict.explanation else ""
    text = f"{verdict.criterion}: {verdict.level}{votes}{why}"
    lines = screen.fold(text, indent="  ", hang="    ")
    yield from screen.paint_start(
        lines, f"{verdict.criterion}: {verdict.level}", "bold", indent="  "
    )
    if verdict.evidence:
        missing = "" if verdict.is_quote else ", which stands nowhere in what it was shown"
        yield from screen.fold(
            f"it quotes{missing}: {verdict.evidence}", indent="    ", hang="    "
        )


def _footer(sitting: ReviewSession, screen: Screen, rows: int) -> list[str]:
    """What is asked, what was answered, and the keys."""
    if sitting.is_help_open:
        return ["Any key goes back."]
    if sitting.draft is not None:
        return _note_footer(sitting, sitting.draft, screen)
    said = (
        [screen.paint(line, "warn") for line in screen.fold(sitting.message)]
        if sitting.message
        else []
    )
    if sitting.item is None:
        return [*said, *_keys_line("Enter end", screen, "u undo")]
    decided = [
        line
        for given in sitting.item_decisions
        for line in screen.fold(
            f"You: {given.criterion}: {given.level}" + (f" ({given.note})" if given.note else ""),
            hang="  ",
        )
    ]
    criterion = sitting.criterion
    if criterion is None:
        shown = "hide verdict" if sitting.is_verdict_shown else "verdict"
        return [
            *decided,
            *said,
            *_keys_line("Enter next", screen, f"v {shown}", "n note", "u undo"),
        ]
    asked = _question_lines(criterion, screen, max(rows // 2 - len(decided) - len(said), 2))
    note = screen.fold(f"Note: {sitting.state.note}", hang="  ") if sitting.state.note else []
    number = _number(criterion)
    return [
        *decided,
        *asked,
        *note,
        *said,
        *_keys_line(number, screen, "s skip", "u undo", "n note"),
    ]


def _number(criterion: Criterion) -> str:
    keys = list(levels_by_key(criterion))
    return f"{keys[0]}-{keys[-1]} level"


def _keys_line(first: str, screen: Screen, *others: str) -> list[str]:
    """One line of keys, of which the last ones are left out where they do not fit."""
    keys = [first, *others, "q stop", "? help"]
    while len(keys) > 2 and cell_width("   ".join(keys)) > screen.columns:
        keys.pop(-3 if len(keys) > 3 else 0)
    return [screen.paint(screen.show("   ".join(keys), screen.columns), "dim")]


def _note_footer(sitting: ReviewSession, draft: str, screen: Screen) -> list[str]:
    cursor = "▏" if screen.unicode else "_"
    lines = screen.fold(f"Note: {draft}{cursor}", hang="  ")
    said = screen.fold(sitting.message) if sitting.message else []
    keys = screen.paint(screen.show("Enter keep   Esc drop", screen.columns), "dim")
    return [*lines, *said, keys]


def _question_lines(criterion: Criterion, screen: Screen, room: int) -> list[str]:
    """The question and its levels, one a line with what they mean where there is room."""
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
    if len(question) + len(full) <= room:
        return [*question, *full]
    short = [
        screen.show(f"{labels[key]}  {level.description}", screen.columns).rstrip()
        for key, level in levels.items()
    ]
    if len(question) + len(short) <= room:
        return [*question, *short]
    row = screen.fold("  ".join(f"{key} {name}" for key, name in names.items()), indent=" ")
    return [*question[: max(room - len(row), 1)], *row]
