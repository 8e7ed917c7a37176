"""`evalkit traces`: the stored traces that a question is about, or what a question in SQL finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import InvalidInput
from evalkit.files import exists
from evalkit.project import find_root
from evalkit.refs import find_run_folder
from evalkit.spanfile import COLUMNS_FILE, SPANS_FILE
from evalkit.store import HEADER_FILE, TRIALS_FILE, list_run_ids, runs_folder
from evalkit.tracing.question import Answer, Question
from evalkit.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTraces:
    """What was asked, and the traces found; `runs` is in how many runs spans were looked for."""

    question: Question
    answer: Answer
    runs: int


def find_traces(question: Question, refs: Sequence[str], world: World) -> FoundTraces:
    """Look for traces in the stored runs, or in those that are named.

    Raises:
        InvalidInput: a run that is named does not exist.
    """
    folders = _find_folders(refs, world)
    columns, lines = _sort_folders(folders)
    if not columns and not lines:
        nothing = Answer(columns=(), rows=(), total=0)
        return FoundTraces(question=question, answer=nothing, runs=0)
    from evalkit.tracing.asking import Stored, ask  # noqa: PLC0415 - DuckDB, where there are spans

    stored = Stored(folders=folders, columns=columns, lines=lines)
    answer = ask(question, stored)
    return FoundTraces(question=question, answer=answer, runs=len(columns) + len(lines))


def ask_in_sql(sql: str, refs: Sequence[str], limit: int, world: World) -> Answer:
    """Ask about the views runs, trials, scores and spans.

    Raises:
        InvalidInput: no such run, no run at all, or a statement that cannot be taken.
    """
    folders = _find_folders(refs, world)
    if not folders:
        raise InvalidInput.single("no stored runs. Make one with: evalkit run EVALSET")
    from evalkit.tracing.asking import Stored, ask_sql  # noqa: PLC0415 - as above

    columns, lines = _sort_folders(folders)
    return ask_sql(sql, Stored(folders=folders, columns=columns, lines=lines), limit)


def _find_folders(refs: Sequence[str], world: World) -> tuple[Path, ...]:
    root = find_root(world.cwd, world.cwd)
    if refs:
        named = [world.cwd / ref for ref in refs]
        found = [
            path.resolve() if exists(path / HEADER_FILE) else find_run_folder(ref, root)
            for ref, path in zip(refs, named, strict=True)
        ]
    else:
        found = [runs_folder(root) / run_id for run_id in list_run_ids(root)]
    return tuple(dict.fromkeys(folder for folder in found if exists(folder / TRIALS_FILE)))


def _sort_folders(folders: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The folders with spans by columns, and those where they only stand line by line."""
    columns = tuple(folder for folder in folders if exists(folder / COLUMNS_FILE))
    others = set(folders) - set(columns)
    lines = tuple(folder for folder in folders if folder in others and exists(folder / SPANS_FILE))
    return columns, lines
