"""Render what `evalkit init` wrote or `evalkit ask` stored, and what to type next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.safe_text import escape_unsafe
from evalkit.report.screen import Screen, join_sections

MAX_FILES_OF_FOLDER = 5
"""How many files of one folder are listed by name."""

MAX_LEFT_OUT = 10
"""How many rows without a case are listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitResult:
    """The files that were written and removed, and what to type next; paths start from the current folder.

    `left_out` has a message for each row of a table that made no case.
    """

    written: tuple[str, ...]
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    commands: tuple[str, ...]


def init_text(started: InitResult, screen: Screen) -> str:
    """Render the files, then each command on one line, so that it can be copied."""
    files = [
        "Written:" if started.written else "Nothing to write: every file is there already.",
        *_list_files(started.written),
        *(["Removed:"] if started.removed else []),
        *_list_files(started.removed),
    ]
    left_out = [f"  {message}" for message in started.left_out[:MAX_LEFT_OUT]]
    if more := len(started.left_out) - len(left_out):
        left_out.append(f"  and {more} more")
    rows = ["Rows that made no case:", *left_out] if left_out else []
    # Do not fold the commands, so that they can be copied.
    commands = [f"  {escape_unsafe(command)}" for command in started.commands]
    sections = [screen.fold_all(lines, hang="    ") for lines in (files, started.notes, rows)]
    return join_sections([*sections, ["Next:", *commands] if commands else []])


def _list_files(names: Sequence[str]) -> list[str]:
    """Return a row for each file, or one for all files of a folder with many."""
    folders = [PurePath(name).parent for name in names]
    counts = Counter(folders)
    rows = [
        f"  {folder}/ ({counts[folder]} files)"
        if counts[folder] > MAX_FILES_OF_FOLDER
        else f"  {name}"
        for name, folder in zip(names, folders, strict=True)
    ]
    return list(dict.fromkeys(rows))


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
