"""What `evalkit init` wrote or `evalkit ask` stored, and what to type next, as text."""

from __future__ import annotations

import shlex

from evalkit.findings import Started
from evalkit.records import Run
from evalkit.reports.layout import Screen, finish
from evalkit.spelling import count_of
from evalkit.text import clean


def started_text(started: Started, screen: Screen) -> str:
    """The files, then the next command on a line of its own, so that it can be copied whole."""
    lines = ["Written:", *(f"  {name}" for name in started.written)]
    folded = [part for line in (*lines, *started.notes) for part in screen.fold(line, hang="    ")]
    return finish([folded, ["Next:", *(f"  {command}" for command in started.commands)]])


def asked_text(run: Run, screen: Screen) -> str:
    """How many answers were stored, and how they are decided on."""
    errors = sum(trial.output.error is not None for trial in run.trials)
    lost = f", {count_of(errors, 'error')} among them" if errors else ""
    told = (
        f"{count_of(len(run.trials), 'answer')} to {count_of(len(run.header.cases), 'case')} stored in "
        f"{run.path}{lost}. Nothing is scored."
    )
    folded = screen.fold(told, hang="    ")
    command = (
        f"  evalkit score {shlex.quote(run.path)} --set {shlex.quote(run.header.evalset_path)}"
    )
    return finish([folded, ["Decide on them:", clean(command)]])
