"""Write a run to disk one finished trial at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Self

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import (
    append_line,
    open_for_append,
    os_error_reason,
    read_stored_file,
    truncate_partial_line,
    write_atomically,
)
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Json
from evalkit.core.run import RunHeader
from evalkit.core.serialization import canonical_json, to_json_value
from evalkit.core.trial import Trial
from evalkit.store.answers import AnswerWriter
from evalkit.store.runs import (
    CHANGED_FLAG,
    HEADER_FILE,
    SUMMARY_FILE,
    TRIALS_FILE,
    TRUST_FILE,
    _digest,
    _list_start_times,
    _sha256,
    describe_changed_files,
    runs_folder,
)
from evalkit.store.span_file import COLUMNS_FILE, SPANS_FILE, SpanWriter, without_spans


class RunWriter:
    """The one writer of a run; holds its lock from creation to `close`.

    Raises (every method):
        StoreError: the disk is full, or the run's files were changed from outside meanwhile.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._sha256 = hashlib.sha256(read_stored_file(folder / TRIALS_FILE))
        self._header = read_stored_file(folder / HEADER_FILE)
        self._trust: bytes | None = None
        self._spans = SpanWriter(folder)
        self._answers = AnswerWriter(folder)
        self._unscored: set[tuple[str, int]] = set()

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
        except OSError as error:
            raise _not_saved_error(folder, error) from error
        try:
            folder.mkdir()
        except FileExistsError:
            raise InvalidInput.single(
                f"there is a run {header.id!r}. Add --resume to go on with it, or choose another id."
            ) from None
        except OSError as error:
            raise _not_saved_error(folder, error) from error
        newest_ns = max((time_ns for time_ns, _ in _list_start_times(root)), default=0)
        path = folder / HEADER_FILE
        write_atomically(path, canonical_json(to_json_value(header)) + "\n")
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
            truncate_partial_line(descriptor, folder / TRIALS_FILE)
            for name in (SUMMARY_FILE, TRUST_FILE, COLUMNS_FILE):
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{folder}: could not reopen: {os_error_reason(error)}.") from error
        return cls(folder, descriptor)

    def rewrite_header(self, header: RunHeader) -> None:
        """Have the run set out to do more than it did so far, before the first call for that."""
        path = self.folder / HEADER_FILE
        # Its time tells when the run was started.
        write_atomically(
            path, canonical_json(to_json_value(header)) + "\n", time_ns=path.stat().st_mtime_ns
        )
        self._header = read_stored_file(path)

    def store_unscored(self, trial: Trial) -> None:
        """Store a trial that waits for its scores, its spans first."""
        self._spans.append(trial)
        self._answers.append(trial)
        self._unscored.add((trial.case_id, trial.number))

    def append(self, trial: Trial, *, rescored: bool = False) -> None:
        """Store one finished trial, its spans first; when this returns, kill -9 cannot lose it.

        The spans of a trial that was kept, or that only has other scores now, are there already.
        """
        key = (trial.case_id, trial.number)
        if not rescored and key not in self._unscored:
            self._spans.append(trial)
        line = (canonical_json(to_json_value(without_spans(trial))) + "\n").encode()
        append_line(self._descriptor, self.folder / TRIALS_FILE, line)
        self._sha256.update(line)

    def write_trust(self, trust: JudgeTrust) -> None:
        """Store what was seen of the judges."""
        write_atomically(self.folder / TRUST_FILE, canonical_json(to_json_value(trust)) + "\n")
        self._trust = read_stored_file(self.folder / TRUST_FILE)

    def finish(self, summary: Json) -> None:
        """Write the summary, once it is sure that the files hold what was written and no more.

        A run that was written to by somebody else stays marked as such: resuming it cannot make
        what it holds true.
        """
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        written = {TRIALS_FILE: self._sha256.hexdigest(), HEADER_FILE: _sha256(self._header)}
        if self._trust is not None:
            written[TRUST_FILE] = _sha256(self._trust)
        if self._spans.digest is not None:
            written[SPANS_FILE] = self._spans.digest
        changed = [
            name for name, digest in written.items() if _digest(self.folder / name) != digest
        ]
        if changed:
            write_atomically(self.folder / SUMMARY_FILE, canonical_json({CHANGED_FLAG: changed}))
            raise StoreError(describe_changed_files(self.folder, changed))
        write_atomically(self.folder / SUMMARY_FILE, canonical_json({**summary, "sha256": written}))
        if self._spans.digest is not None:
            # 150 ms of imports that a run without spans is spared.
            from evalkit.trace.tables import write_parquet  # noqa: PLC0415

            write_parquet(self.folder)
        self._answers.remove()

    def close(self) -> None:
        """Release the lock."""
        self._spans.close()
        self._answers.close()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _not_saved_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: could not save: {os_error_reason(error)}. "
        f"Runs are stored in .evalkit, in the project's folder; make it writable."
    )


def _open_locked(path: Path) -> int:
    descriptor = open_for_append(path)
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
