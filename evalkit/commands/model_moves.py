"""Say in the report of a run that the model moved: stored runs of the baseline's agent differ from it."""

from __future__ import annotations

from itertools import islice

from evalkit.core.errors import EvalkitError, StoreError
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.gate.model_move import describe_move, find_model_moves, is_in_series
from evalkit.report.next_steps import CommandHints
from evalkit.stats.conformal_test import MAX_SERIES
from evalkit.store.runs import (
    HEADER_FILE,
    SUMMARY_FILE,
    list_run_ids,
    read_header,
    read_run,
    runs_folder,
)

_MAX_EXAMINED = 500
"""How many of the newest stored runs may be in the series of a baseline."""


def note_model_moves(run: Run, baseline: Run | None, project: Project) -> tuple[str, ...]:
    """Return a note on each metric on which the baseline's agent moved since, as stored runs of it prove.

    A run with `--against` has a baseline of its own time, so there is nothing to say.
    """
    if baseline is None or run.header.against or not baseline.header.source_digest:
        return ()
    try:
        later = _read_series(run, baseline, project)
    except EvalkitError:
        return ()
    if not later:
        return ()
    hints = CommandHints.of(project)
    moves = find_model_moves(baseline, later)
    notes = [describe_move(move, hints.compare_now(run, baseline)) for move in moves]
    if len(later) > MAX_SERIES:
        notes.append(
            f"Only the first {MAX_SERIES} runs of the unchanged agent since the baseline are tested for a "
            f"moved model, and there are {len(later)}. Record a new baseline: {hints.record(run)}"
        )
    return tuple(notes)


def _read_series(run: Run, baseline: Run, project: Project) -> list[Run]:
    """Return the finished runs of the baseline's agent after the baseline, oldest first.

    Raises:
        StoreError: the folder of runs cannot be read.
    """
    found: list[Run] = []
    newest_first = islice(reversed(list_run_ids(project.root)), _MAX_EXAMINED)
    for run_id in newest_first:
        folder = runs_folder(project.root) / run_id
        if not path_exists(folder / SUMMARY_FILE):
            continue
        try:
            # The digest is there before a header of many cases is read.
            if baseline.header.source_digest.encode() not in read_stored_file(folder / HEADER_FILE):
                continue
            header = read_header(folder)
            is_later = header.created >= baseline.header.created
            is_same_set = header.evalset_path == run.header.evalset_path
            if is_later and is_same_set and is_in_series(header, baseline.header):
                found.append(run if run_id == run.header.id else read_run(folder))
        except StoreError:
            continue
    return found[::-1]
