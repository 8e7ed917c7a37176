"""What `evalkit init` wrote or `evalkit ask` stored, and what to type next, as text."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.safe_text import escape_unsafe
from evalkit.report.screen import Screen, join_sections


def init_text(started: InitResult, screen: Screen) -> str:
    """The files, then the next command on a line of its own, so that it can be copied whole."""
    lines = ["Written:", *(f"  {name}" for name in started.written)]
    folded = [part for line in (*lines, *started.notes) for part in screen.fold(line, hang="    ")]
    return join_sections([folded, ["Next:", *(f"  {command}" for command in started.commands)]])


def stored_answers_text(run: Run, screen: Screen) -> str:
    """How many answers were stored, and how they are decided on."""
    errors = sum(trial.output.error is not None for trial in run.trials)
    lost = f", {format_count(errors, 'error')} among them" if errors else ""
    told = (
        f"{format_count(len(run.trials), 'answer')} to {format_count(len(run.header.cases), 'case')} stored in "
        f"{run.path}{lost}. Nothing is scored."
    )
    folded = screen.fold(told, hang="    ")
    command = (
        f"  evalkit score {shlex.quote(run.path)} --set {shlex.quote(run.header.evalset_path)}"
    )
    return join_sections([folded, ["Decide on them:", escape_unsafe(command)]])


@dataclass(frozen=True, kw_only=True, slots=True)
class InitResult:
    """What was written, from the folder that was named, and the commands to type next."""

    written: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
