"""Render several runs for a terminal: the runs that did not pass, then a line for each, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.core.format import format_count
from evalkit.core.safe_text import escape_ci_commands
from evalkit.report.batch import Batch, BatchPart
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    Style,
    align_columns,
    heading,
    join_folded,
    join_sections,
)
from evalkit.report.terminal import render_terminal

_MAX_COMMAND_CHARS = 2000


def render_batch(
    batch: Batch,
    screen: Screen,
    *,
    verbose: bool = False,
    is_short: bool = False,
) -> str:
    """Render several runs for a screen: those that did not exit with 0 have a report each.

    With `verbose`, every run has one, with every row of every table; if `is_short`, none has.
    """
    reported = [
        part for part in batch.parts if part.report and not is_short and (verbose or part.exit_code)
    ]
    summary = join_sections(
        [
            _table(batch, reported, screen),
            _notes(batch, screen),
            _next_steps(batch, screen),
            _verdict(batch, screen),
        ]
    )
    shown = [
        render_terminal(part.report, screen, verbose=verbose) for part in reported if part.report
    ]
    if not shown:
        return summary
    first = join_sections([_verdict(batch, screen)])
    return "\n".join([first, *(_add_rule(text, screen) for text in shown), summary])


def render_part(part: BatchPart, screen: Screen) -> str:
    """Render one run of a batch as one line."""
    shown = part.headline
    # The command that continues is listed at the end, where it is not cut.
    reason = part.reason.partition(" Continue with: ")[0]
    facts = [f"{shown.rule} {shown.join('->')}", f"{part.held} hold"] if shown else [reason]
    line = screen.show(f"{part.word}  {part.label}: {', '.join(facts)}", screen.columns)
    return escape_ci_commands(line)


def _add_rule(text: str, screen: Screen) -> str:
    """Return the report of one run under a line that separates it from the one before."""
    return (
        f"{screen.paint(('─' if screen.unicode else '-') * min(screen.columns, 80), 'dim')}\n{text}"
    )


def _style(part: BatchPart) -> Style:
    if part.report is None:
        return "dim" if part.state == "nothing_selected" else "warn"
    return OUTCOME_STYLES[part.report.gate_result.outcome]


def _table(batch: Batch, reported: Sequence[BatchPart], screen: Screen) -> list[str]:
    """Return a row for each run, and why runs did not pass, unless a report above says it."""
    rows = []
    for part in batch.parts:
        shown = part.headline
        name, values = (shown.rule, shown.join("->")) if shown else ("", "")
        rows.append((Cell(part.word, _style(part)), part.label, name, values, part.held))
    titles = ("", "", "threshold", "", "hold")
    lines = align_columns(
        rows,
        screen,
        titles=titles if any(row[2] for row in rows) else (),
        shrinkable={2: 12, 1: 12},
    )
    explained = [
        part
        for part in batch.parts
        if part.word != "PASS" and not any(part is each for each in reported)
    ]
    reasons = [
        line
        for part in explained
        for line in _explain(part, screen, is_alone=len(batch.parts) == 1)
    ]
    return [heading(f"{batch.noun.capitalize()}s", screen), *lines, *reasons]


def _explain(part: BatchPart, screen: Screen, *, is_alone: bool) -> Iterator[str]:
    """Yield why a part did not pass."""
    label = "" if is_alone else f"{part.label}: "
    # The problems of a set are one per line.
    first, *others = part.reason.splitlines() or [""]
    yield from screen.fold(f"{label}{first}", indent="  ", hang="    ")
    for line in others:
        yield from screen.fold(line, indent="    ", hang="      ")


def _notes(batch: Batch, screen: Screen) -> list[str]:
    if not batch.notes:
        return []
    return [heading("Notes", screen), *screen.fold_all(batch.notes, indent="  - ", hang="    ")]


def _next_steps(batch: Batch, screen: Screen) -> list[str]:
    if not batch.hints:
        return []
    lines = [heading("Next", screen)]
    for hint in batch.hints:
        # Commands are neither cut nor folded, so that they can be copied.
        lines += screen.fold(f"{hint.label}:", indent="  ", hang="  ")
        lines.append(f"    {screen.show(hint.command, _MAX_COMMAND_CHARS)}")
    return lines


def _verdict(batch: Batch, screen: Screen) -> list[str]:
    word = batch.word
    lines = screen.fold(
        f"{word}  {'  '.join((batch.reason, *batch.facts))}", hang=" " * (len(word) + 2)
    )
    return screen.paint_start(lines, word, OUTCOME_STYLES[batch.outcome])


def written_batch_text(batch: Batch, paths: Sequence[Path], screen: Screen) -> str:
    """Render the paths of written reports, with the outcome of all runs."""
    runs = format_count(len(batch.parts), batch.noun)
    return join_folded((f"{path}: {batch.word}, {runs}: {batch.reason}" for path in paths), screen)
