"""Runs on disk: `run.json` before the first call, `trials.jsonl` line by line, `summary.json` last.

A run is a folder `.evalkit/runs/<id>/`. A line of `trials.jsonl` that was written whole is never
lost: kill -9 can only tear the last line, which a reader drops and a resumed run cuts off. The
absence of `summary.json` is what tells that a run is unfinished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from evalkit.digest import canonical
from evalkit.errors import InvalidInput, StoreError
from evalkit.files import reason_of, write_whole
from evalkit.packing import pack
from evalkit.records import Json, Run, RunHeader, Trial

HEADER_FILE = "run.json"
TRIALS_FILE = "trials.jsonl"
SUMMARY_FILE = "summary.json"


def runs_folder(root: Path) -> Path:
    """Where a project's runs are."""
    return root / ".evalkit" / "runs"


def new_run_id(now: datetime, evalset: str, token: str) -> str:
    """An id that people can read: when it was started, of which eval set, and a token of its own."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", evalset.casefold()).strip("-")[:40] or "set"
    return f"{stamp}-{name}-{token}"


def list_run_ids(root: Path) -> tuple[str, ...]:
    """Every stored run's id, in the order in which they were started."""
    return tuple(run_id for _, run_id in sorted(_started(root)))


def _started(root: Path) -> list[tuple[int, str]]:
    # A header is written once, and its file's time is set to be later than all before it (see
    # `RunWriter.create`), so that a clock that was set back does not change the order.
    folder = runs_folder(root)
    if not folder.is_dir():
        return []
    headers = ((entry / HEADER_FILE, entry.name) for entry in folder.iterdir())
    return [(path.stat().st_mtime_ns, name) for path, name in headers if path.exists()]


class RunWriter:
    """The one writer of a run; holds its lock from creation to `close`.

    Raises (every method):
        StoreError: the disk is full, or the run's files were changed from outside meanwhile.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._sha256 = hashlib.sha256()
        with (folder / TRIALS_FILE).open("rb") as stream:
            while block := stream.read(1 << 20):
                self._sha256.update(block)

    @classmethod
    def create(cls, root: Path, header: RunHeader) -> Self:
        """Start a run: its folder, its header on disk, its lock taken.

        Raises:
            InvalidInput: there is a run with this id.
        """
        folder = runs_folder(root) / header.id
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            ignore = root / ".evalkit" / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            folder.mkdir()
        except FileExistsError:
            raise InvalidInput.single(
                f"there is a run {header.id!r}. Add --resume to go on with it, or choose another id."
            ) from None
        except OSError as error:
            raise StoreError(f"{folder}: could not save: {reason_of(error)}.") from error
        newest_ns = max((time_ns for time_ns, _ in _started(root)), default=0)
        path = folder / HEADER_FILE
        write_whole(path, canonical(pack(header)) + "\n")
        time_ns = max(path.stat().st_mtime_ns, newest_ns + 1)
        os.utime(path, ns=(time_ns, time_ns))
        return cls(folder, _open_locked(folder / TRIALS_FILE))

    @classmethod
    def reopen(cls, folder: Path) -> Self:
        """Go on with a run: a torn last line is cut off, the summary, now out of date, removed.

        Raises:
            InvalidInput: another process is writing this run.
        """
        descriptor = _open_locked(folder / TRIALS_FILE)
        try:
            content = (folder / TRIALS_FILE).read_bytes()
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
            (folder / SUMMARY_FILE).unlink(missing_ok=True)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{folder}: could not reopen: {reason_of(error)}.") from error
        return cls(folder, descriptor)

    def rewrite_header(self, header: RunHeader) -> None:
        """Have the run set out to do more than it did so far, before the first call for that."""
        path = self.folder / HEADER_FILE
        # Its time tells when the run was started.
        write_whole(path, canonical(pack(header)) + "\n", time_ns=path.stat().st_mtime_ns)

    def append(self, trial: Trial) -> None:
        """Store one finished trial; when this returns, kill -9 cannot lose it."""
        line = (canonical(pack(trial)) + "\n").encode()
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise StoreError(
                f"{self.folder / TRIALS_FILE}: could not save: {reason_of(error)}. "
                f"What had finished is kept: free space and add --resume."
            ) from error
        self._size += len(line)
        self._sha256.update(line)

    def finish(self, summary: Json) -> None:
        """Write the summary, once it is sure that the file holds what was written and no more."""
        path = self.folder / TRIALS_FILE
        try:
            os.fsync(self._descriptor)
            stored = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise StoreError(f"{path}: could not save: {reason_of(error)}.") from error
        if stored != self._sha256.hexdigest():
            raise StoreError(
                f"{path}: changed by another process while the run was writing it. Keep the agent "
                f"away from .evalkit and run again."
            )
        write_whole(self.folder / SUMMARY_FILE, canonical({**summary, "trials_sha256": stored}))

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: could not save: {reason_of(error)}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InvalidInput.single(
            f"run {path.parent.name!r} is being written by another process. Wait for it to end."
        ) from None
    except OSError:
        # A network file system without locks: the id is unique, only a double --resume is unsafe.
        pass
    return descriptor


def read_run(folder: Path) -> Run:
    """Read a run back, finished or not; safe while it is being written.

    Raises:
        StoreError: there is no readable run in the folder; the message names the line.
    """
    header = read_header(folder)
    path = folder / TRIALS_FILE
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StoreError(f"{path}: could not be read: {reason_of(error)}.") from error
    whole, _, torn = content.rpartition(b"\n")
    warnings = (f"{path}: the last line is torn and was left out.",) if torn else ()
    rows = []
    for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
        try:
            rows.append(decode_trial(line))
        except ValueError as error:
            raise StoreError(
                f"{path}:{number}: not a trial: {error}. "
                f"Keep the rest with: evalkit repair {folder.name}"
            ) from error
    run = assemble_run(header, rows)
    finished = (folder / SUMMARY_FILE).exists()
    return replace(run, path=str(folder), finished=finished, warnings=warnings)


def repair_run(folder: Path) -> tuple[int, int]:
    """Drop the lines that cannot be read; returns how many were kept and how many dropped.

    The file as it was stays beside it as `trials.jsonl.broken`.
    """
    path = folder / TRIALS_FILE
    read_header(folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: could not be read: {reason_of(error)}.") from error
    kept = []
    dropped = 0
    for line in content.split(b"\n"):
        try:
            if line:
                decode_trial(line)
                kept.append(line)
        except ValueError:
            dropped += 1
    if dropped:
        write_whole(path.with_suffix(".jsonl.broken"), content)
        write_whole(path, b"".join(line + b"\n" for line in kept))
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
    return len(kept), dropped


def decode_trial(line: bytes) -> Trial:
    """One stored line as a record; ValueError when it is not one."""
    return msgspec.convert(json.loads(line), Trial, strict=True)


def assemble_run(header: RunHeader, rows: Iterable[Trial]) -> Run:
    """Rows as trials in the order of cases and numbers; of several rows for one trial the last counts."""
    latest = {(row.case_id, row.number): row for row in rows}
    position = {case.id: index for index, case in enumerate(header.cases)}
    known = [row for row in latest.values() if row.case_id in position]
    ordered = sorted(known, key=lambda row: (position[row.case_id], row.number))
    fresh = [row for row in ordered if row.case_id in header.fresh and row.number >= header.trials]
    trials = [
        row for row in ordered if row.case_id not in header.fresh or row.number < header.trials
    ]
    return Run(header=header, trials=tuple(trials), fresh=tuple(fresh))


def read_header(folder: Path) -> RunHeader:
    """What a run set out to do; StoreError when that cannot be read."""
    path = folder / HEADER_FILE
    try:
        return msgspec.convert(json.loads(path.read_bytes()), RunHeader, strict=True)
    except OSError as error:
        raise StoreError(f"{path}: could not be read: {reason_of(error)}.") from error
    except ValueError as error:
        raise StoreError(f"{path}: not a run: {error}. Start a new run.") from error


def find_unfinished(root: Path, evalset_path: str) -> Path | None:
    """The newest unfinished run of an eval set, if there is one."""
    for run_id in reversed(list_run_ids(root)):
        folder = runs_folder(root) / run_id
        if (folder / SUMMARY_FILE).exists():
            continue
        if read_header(folder).evalset_path == evalset_path:
            return folder
    return None
