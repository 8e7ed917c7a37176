"""Record which sets a command runs, and what becomes of each, so that `latest` names all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from evalkit.ci.unrun_sets import UnrunSet
from evalkit.commands.batch import ErrorDescriber, stop_part
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, StoreError
from evalkit.core.files import path_exists
from evalkit.core.run import RunHeader
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.report.batch import BatchPart
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.records import RunOptions
from evalkit.store.batches import BatchEntry, BatchRecord, BatchWriter
from evalkit.store.runs import (
    BATCH_FILE,
    list_run_ids,
    list_start_times,
    new_run_id,
    runs_folder,
)
from evalkit.store.seal import Seal


class BatchLog:
    """The record of a command, in the store of each project that one of its sets is in.

    A set of another project has no run in the record, so that a result of the record is never green.
    """

    def __init__(self, paths: Sequence[Path], context: Context) -> None:
        """Store that no set has run.

        Raises:
            InvalidInput: the key of the store is too short.
            StoreError: the record cannot be written.
        """
        self.id = new_run_id(context.now(), "batch", context.token())
        projects = [_open_project(path, context) for path in paths]
        seal = Seal(read_store_key(context.environ))
        entries = tuple(
            BatchEntry(label=display_path(path), path=project.relative(path))
            for path, project in zip(paths, projects, strict=True)
        )
        self._roots = [project.root for project in projects]
        record = BatchRecord(id=self.id, entries=entries)
        self._writers = {
            root: BatchWriter(root, record, seal) for root in dict.fromkeys(self._roots)
        }

    def refuse_unrun(self, unrun: Sequence[UnrunSet]) -> None:
        """Store sets that the command would run at the base, and does not; none of them has a run.

        Raises:
            StoreError: the record cannot be written.
        """
        entries = [
            BatchEntry(
                label=each.path,
                path=each.path,
                state="stopped",
                exit_code=ApprovalNeeded.exit_code,
                problem=each.problem,
            )
            for each in unrun
        ]
        for writer in self._writers.values() if entries else ():
            writer.append(entries)

    def begin(self, number: int, label: str, run_id: str) -> None:
        """Store the run of the set with a number, from 0, before it begins.

        Raises:
            StoreError: the record cannot be written.
        """
        for root, writer in self._writers.items():
            entry = replace(
                writer.record.entries[number],
                label=label,
                run_id=run_id if root == self._roots[number] else "",
                state="started",
                problem="" if root == self._roots[number] else self._explain_other(number),
            )
            writer.update(number, entry)

    def end(self, number: int, part: BatchPart, run_id: str = "") -> None:
        """Store what became of a set; if that fails, its run counts as it is stored.

        `run_id` is for a run that was not known when it began.
        """
        for root, writer in self._writers.items():
            entry = writer.record.entries[number]
            entry = replace(
                entry,
                run_id=run_id or entry.run_id,
                label=part.label,
                state=part.state,
                exit_code=part.exit_code,
                problem=part.problem
                if root == self._roots[number]
                else self._explain_other(number),
            )
            with suppress(StoreError):
                writer.update(number, entry)

    def refuse(self, message: str, code: int) -> None:
        """Store that no set has run, with the lines of a message that are about each."""
        for writer in self._writers.values():
            entries = writer.record.entries
            own = [
                [line for line in message.splitlines() if line.startswith(f"{entry.label}:")]
                for entry in entries
            ]
            for number, entry in enumerate(entries):
                refused = replace(entry, state="stopped", exit_code=code, problem=message)
                if own[number]:
                    refused = replace(refused, problem="\n".join(own[number]))
                elif any(own):
                    reason = "not run, because another set has a problem."
                    refused = replace(refused, state="not_run", problem=reason)
                with suppress(StoreError):
                    writer.update(number, refused)

    def end_alone(self, part: BatchPart, run_id: str) -> None:
        """Store what became of the only set, unless a stored run is newer than any other record.

        Then `latest` is the run that started last, which a run that is continued need not be.
        """
        [root] = self._roots
        others = [each for each in list_start_times(root, BATCH_FILE) if each[1] != self.id]
        is_newest = max(list_start_times(root), default=(0, "")) > max(others, default=(0, ""))
        if part.state == "decided" and is_newest:
            self._writers[root].remove()
            return
        self.end(0, part, run_id)

    def _explain_other(self, number: int) -> str:
        return f"its run is stored in {display_path(self._roots[number])}. Give this command there."


@contextmanager
def record_only_set(
    path: Path, options: RunOptions, describe_error: ErrorDescriber, context: Context
) -> Iterator[Callable[[RunHeader], None]]:
    """Record a command that runs one set, also if it is refused before it has a run.

    `options` say which run it continues, if so. Yield the function that takes the header of the run when that has ended.

    Raises:
        InvalidInput, StoreError: as `BatchLog`.
    """
    root = _open_project(path, context).root
    # Unlike the methods of Path, these take a name that is too long for one that does not exist.
    if not os.path.isfile(path) and not path_exists(runs_folder(root)):  # noqa: PTH113
        yield lambda _: None  # no older run could be taken for this one's
        return
    log = BatchLog([path], context)
    if options.resume:
        log.begin(0, display_path(path), options.run_id or "")
    earlier = set(list_run_ids(root))
    part = BatchPart(label=display_path(path), path=str(path), exit_code=3, state="stopped")

    def end(header: RunHeader) -> None:
        log.end_alone(replace(part, label=header.evalset, state="decided"), header.id)

    try:
        yield end
    except Exception as error:
        own = [run_id for run_id in list_run_ids(root) if run_id not in earlier]
        # The command prints the error itself.
        stopped = stop_part(part, error, describe_error, lambda _: None)
        log.end_alone(stopped, "".join(own[-1:]))
        raise


def record_missing_sets(
    paths: Sequence[Path], error: Exception, describe_error: ErrorDescriber, context: Context
) -> None:
    """Record a command that found no sets, where the store has runs that could be taken for its own."""
    if all(path_exists(runs_folder(_open_project(path, context).root)) for path in paths):
        BatchLog(paths, context).refuse(*describe_error(error))


def _open_project(path: Path, context: Context) -> Project:
    """Return the project of a set; that of the current folder for a set in a folder that does not exist."""
    return Project.open(context, path if os.path.isdir(path.parent) else None)  # noqa: PTH112
