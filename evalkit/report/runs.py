"""Render the list of stored runs as a terminal table, as JSON, and as CSV rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.core.literals import COMPLETE, Outcome
from evalkit.core.safe_text import cell_width
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.documents import render_record
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    align_columns,
    join_sections,
)
from evalkit.store.run_outline import RunOutline

_IN_ID = ("date", "set")
_DROPPED = (*_IN_ID, "agent", "cost", "version")
"""The columns that a narrow screen leaves out, in this order. The id of a run has date and set as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRun(RunOutline):
    """One stored run and its gate result.

    `outcome` and `reason` are the gate result that the run stored; None and empty if it stored none, as
    shards and runs that only ask do. `word` is that of reports, such as ACCEPTED.
    """

    outcome: Outcome | None = None
    reason: str = ""
    word: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRuns:
    """The newest stored runs, newest first; `has_more` is set if there are older ones."""

    runs: tuple[ListedRun, ...]
    has_more: bool = False


def runs_text(found: ListedRuns, screen: Screen) -> str:
    """Render one line for each run, with as many columns as the screen has space for and the whole id."""
    every: dict[str, list[Cell | str]] = {
        "verdict": [_verdict_cell(run) for run in found.runs],
        "date": [run.created[:10] for run in found.runs],
        "set": [run.evalset for run in found.runs],
        "version": [run.version for run in found.runs],
        "agent": [run.agent for run in found.runs],
        "cost": [_cost_text(run) for run in found.runs],
        "run": [run.id for run in found.runs],
    }
    columns = {title: cells for title, cells in every.items() if any(map(_text, cells))}
    dropped = []
    for name in _DROPPED:
        if _width(columns) <= screen.columns:
            break
        if columns.pop(name, None) and name not in _IN_ID:
            dropped.append(name)
    titles = list(columns)
    lines = align_columns(
        list(zip(*columns.values(), strict=True)),
        screen,
        titles=titles,
        shrinkable={},
        right=[titles.index("cost")] if "cost" in titles else [],
    )
    return join_sections([lines, screen.fold_all(_list_notes(found, dropped))])


def runs_json(found: ListedRuns) -> str:
    """Render the runs as an `evalkit.runs/v1` document."""
    return render_record("evalkit.runs/v1", found)


def _text(cell: Cell | str) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def _width(columns: Mapping[str, Sequence[Cell | str]]) -> int:
    """Return the width of a table, with a gap of two cells before each column."""
    return sum(
        2 + max(cell_width(_text(cell)) for cell in (title, *cells))
        for title, cells in columns.items()
    )


def _verdict_cell(run: ListedRun) -> Cell:
    if run.outcome is not None:
        return Cell(run.word, OUTCOME_STYLES[run.outcome])
    if run.state != "finished":
        return Cell(run.state, "bad" if run.state == "unreadable" else "warn")
    if run.is_complete_shard:
        return Cell(f"{COMPLETE} {run.shard}", "good")
    return Cell(f"shard {run.shard}" if run.shard else NO_VALUE, "dim")


def _cost_text(run: ListedRun) -> str:
    return value_cell(run.cost_usd, "usd") if run.cost_usd is not None else ""


def _list_notes(found: ListedRuns, dropped: Sequence[str]) -> list[str]:
    notes = [run.problem for run in found.runs if run.problem]
    if any(run.state == "unfinished" for run in found.runs):
        notes.append("Continue an unfinished run with: evalkit run EVALSET --resume --run-id RUN")
    if dropped:
        notes.append(f"Not shown because the screen is too narrow: {', '.join(dropped)}.")
    if found.has_more:
        notes.append(f"These are the newest {len(found.runs)} runs. See more with --limit.")
    return notes
