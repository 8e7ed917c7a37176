"""Render what `evalkit init` wrote or `evalkit ask` stored, and what to type next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.safe_text import escape_unsafe
from evalkit.report.screen import Screen, join_sections


@dataclass(frozen=True, kw_only=True, slots=True)
class InitResult:
    """The files that were written, relative to the given folder, and the commands to type next."""

    written: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


def init_text(started: InitResult, screen: Screen) -> str:
    """Render the files, then each command on one line, so that it can be copied."""
    lines = ["Written:", *(f"  {name}" for name in started.written), *started.notes]
    commands = ["Next:", *(f"  {command}" for command in started.commands)]
    return join_sections([screen.fold_all(lines, hang="    "), commands])


def stored_answers_text(run: Run, screen: Screen) -> str:
    """Render how many answers were stored, and the command that scores them."""
    errors = sum(trial.output.error is not None for trial in run.trials)
    lost = f", {format_count(errors, 'error')} among them" if errors else ""
    answers, cases = len(run.trials), len(run.header.cases)
    text = (
        f"{format_count(answers, 'answer')} to {format_count(cases, 'case')} stored in "
        f"{run.path}{lost}. They are not scored yet."
    )
    # Do not fold the command, so that it can be copied.
    command = (
        f"  evalkit score {shlex.quote(run.path)} --set {shlex.quote(run.header.evalset_path)}"
    )
    return join_sections([screen.fold(text, hang="    "), ["Score them:", escape_unsafe(command)]])
