"""Find the runs of the last command, or the last run of a set, also where a set has no run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import InvalidInput, StoreError, Undecidable
from evalkit.core.files import path_exists
from evalkit.core.format import format_count
from evalkit.core.run import RunHeader
from evalkit.store.batches import BatchEntry, read_batch
from evalkit.store.runs import BATCH_FILE, HEADER_FILE, list_start_times, read_header, runs_folder
from evalkit.store.seal import Seal

MAX_COMMANDS_READ = 100
"""Newest runs and commands in which the name of a set is looked up."""

_NO_SEAL = Seal()


@dataclass(frozen=True, kw_only=True, slots=True)
class _NewestRun:
    time_ns: int
    run_id: str
    header: RunHeader | None

    @property
    def entry(self) -> BatchEntry:
        """The run as the only one of its command."""
        header = self.header
        return BatchEntry(
            label=header.evalset if header else self.run_id,
            path=header.evalset_path if header else "",
            run_id=self.run_id,
            state="decided",
            problem="",
        )


def find_last_command(
    root: Path, evalset_path: str | None = None, seal: Seal = _NO_SEAL
) -> tuple[BatchEntry, ...]:
    """Return the sets that the newest command ran, with their runs; only that at `evalset_path`, if given.

    An entry without a run says why. The runs of `evalkit bisect` count only if there are no others.

    Raises:
        InvalidInput: there are no stored runs, or none of that set.
        StoreError: what the newest command ran cannot be read, or with a key, lacks its seal.
    """
    run = _find_newest_run(root, evalset_path)
    for time_ns, batch_id in sorted(list_start_times(root, BATCH_FILE), reverse=True):
        if run is not None and run.time_ns > time_ns:
            break  # it is of a later command, or of one that did not end
        if found := _read_entries(root, batch_id, evalset_path, seal):
            return found
    if run is None:
        of_set = f"{evalset_path}: " if evalset_path else f"{runs_folder(root)}: "
        raise InvalidInput.single(f"{of_set}no stored runs. Make one with: evalkit run EVALSET")
    batch_id = run.header.batch if run.header else ""
    entries = _read_entries(root, batch_id, evalset_path, seal) if batch_id else ()
    return entries or (run.entry,)


def _read_entries(
    root: Path, batch_id: str, evalset_path: str | None, seal: Seal
) -> tuple[BatchEntry, ...]:
    return tuple(
        _check_run(entry, root)
        for entry in read_batch(root, batch_id, seal).entries
        if evalset_path in (None, entry.path)
    )


def _check_run(entry: BatchEntry, root: Path) -> BatchEntry:
    """Return the entry without its run if that is not stored."""
    if not entry.has_run or path_exists(runs_folder(root) / entry.run_id / HEADER_FILE):
        return entry
    return replace(
        entry,
        state="stopped",
        exit_code=Undecidable.exit_code,
        problem=f"run {entry.run_id} is not stored: the command ended before it began, or somebody "
        "deleted it.",
    )


def _find_newest_run(root: Path, evalset_path: str | None) -> _NewestRun | None:
    """Return the newest run, or that of a set; one of a bisect only if there is no other."""
    of_bisect: _NewestRun | None = None
    for run in _iter_runs(root):
        if run.header is None and evalset_path is not None:
            continue
        if run.header is not None and evalset_path not in (None, run.header.evalset_path):
            continue
        if run.header is None or run.header.command != "bisect":
            return run
        of_bisect = of_bisect or run
    return of_bisect


def _iter_runs(root: Path) -> Iterator[_NewestRun]:
    """Yield all runs, newest first. What reads the run reports why its header cannot be read."""
    for time_ns, run_id in sorted(list_start_times(root), reverse=True):
        try:
            header = read_header(runs_folder(root) / run_id)
        except StoreError:
            header = None
        yield _NewestRun(time_ns=time_ns, run_id=run_id, header=header)


def list_known_sets(root: Path) -> dict[str, str]:
    """Return the names of the sets that the newest commands ran, by their paths in their stored form."""
    found: dict[str, str] = {}
    for _, run in zip(range(MAX_COMMANDS_READ), _iter_runs(root), strict=False):
        if run.header is not None:
            found.setdefault(run.header.evalset_path, run.header.evalset)
    times = sorted(list_start_times(root, BATCH_FILE), reverse=True)
    for _, batch_id in times[:MAX_COMMANDS_READ]:
        for entry in read_batch(root, batch_id).entries:
            found.setdefault(entry.path, entry.label)
    return found


def find_last_run_of(name: str, path: str, root: Path) -> BatchEntry | None:
    """Return the last run of a set, by its name, or by its path in its stored form; None if there is none.

    Raises:
        InvalidInput: several sets have the name.
        StoreError: as `find_last_command`.
    """
    known = list_known_sets(root)
    found = [path] if path in known else [each for each, own in known.items() if own == name]
    if len(found) > 1:
        raise InvalidInput.single(
            f"{name!r} is the name of {len(found)} sets: {', '.join(found)}. Name the file."
        )
    return find_last_command(root, found[0])[0] if found else None


def find_only_run(entries: tuple[BatchEntry, ...], ref: str) -> str:
    """Return the id of the run of the only entry.

    Raises:
        InvalidInput: there are several entries, or it has no run.
    """
    runs = [f"{entry.run_id} ({entry.label})" for entry in entries if entry.has_run]
    if len(entries) > 1:
        without = [entry.label for entry in entries if not entry.has_run]
        missing = f" Without a run: {', '.join(without)}." if without else ""
        raise InvalidInput.single(
            f"{ref!r}: the last command ran {format_count(len(entries), 'set')}. "
            f"Name one run: {', '.join(runs)}.{missing}"
        )
    [entry] = entries
    if not entry.has_run or not entry.run_id:
        stored = f" What it stored: evalkit show {entry.run_id}" if entry.run_id else ""
        why = entry.problem.removeprefix(f"{entry.label}: ")
        raise InvalidInput.single(f"{ref!r}: {entry.label} has no result: {why}{stored}")
    return entry.run_id
