"""Write a run to disk, one finished trial at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import (
    append_line,
    hide_from_git,
    open_for_append,
    open_stored_file,
    os_error_reason,
    path_exists,
    read_stored_file,
    truncate_file,
    write_atomically,
)
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Json
from evalkit.core.run import RunHeader
from evalkit.core.serialization import canonical_json, to_json_value
from evalkit.core.trial import Trial
from evalkit.store.answers import ANSWERS_FILE
from evalkit.store.costs import COSTS_FILE
from evalkit.store.run_lock import RunLock
from evalkit.store.run_seal import seal_row
from evalkit.store.runs import (
    CHANGED_FLAG,
    HEADER_FILE,
    RESCORED_BASELINE_FILE,
    SPANS_FILE,
    SUMMARY_FILE,
    TRIALS_FILE,
    TRUST_FILE,
    compute_sha256,
    describe_changed_files,
    digest_if_readable,
    list_start_times,
    runs_folder,
)
from evalkit.store.seal import Seal
from evalkit.store.span_file import COLUMNS_FILE, SpansByTrial, load_spans, without_spans


class LineFile:
    """A file of JSON lines to append to; it is created with its first line.

    `descriptor` is given if the file is open already. An incomplete last line is removed. The caller must hold the run's lock.

    Raises (every method):
        StoreError: the disk is full, or the file cannot be opened.
    """

    def __init__(self, path: Path, descriptor: int = -1) -> None:
        self._path = path
        self._descriptor = descriptor
        if descriptor < 0 and path_exists(path):
            self._descriptor = open_for_append(path)
        self._sha256 = hashlib.sha256()
        if self._descriptor >= 0:
            truncate_file(self._descriptor, path, self._hash_complete_lines())

    def _hash_complete_lines(self) -> int:
        """Take the lines that the file has into the digest; return their size in bytes."""
        size = 0
        with open_stored_file(self._path) as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    self._sha256.update(line)
                    size += len(line)
        return size

    def append(self, row: Json) -> None:
        """Store one row; when this returns, kill -9 cannot lose it."""
        if self._descriptor < 0:
            self._descriptor = open_for_append(self._path)
        line = (canonical_json(row) + "\n").encode()
        append_line(self._descriptor, self._path, line)
        self._sha256.update(line)

    @property
    def digest(self) -> str | None:
        """The SHA-256 of the file's content; None if there is no file."""
        return self._sha256.hexdigest() if self._descriptor >= 0 else None

    def sync(self) -> None:
        """Ask the system to write the file to disk now."""
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)

    def remove(self) -> None:
        """Delete the file; one that cannot be deleted stays."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


class SpanWriter:
    """Appends the spans of trials; there is no file until a trial has some.

    If a trial has several lines, the last one counts.
    """

    def __init__(self, folder: Path) -> None:
        self.file = LineFile(folder / SPANS_FILE)
        self._known = set(load_spans(folder))

    def append(self, trial: Trial) -> None:
        """Store the spans of a trial, before the trial itself is stored."""
        key = (trial.case_id, trial.number)
        # A trial that had spans and has none now needs a line as well: the last one counts.
        if trial.output.spans or key in self._known:
            spans = to_json_value(trial.output.spans)
            self.file.append({"case_id": trial.case_id, "number": trial.number, "spans": spans})
            self._known.add(key)


class RunWriter:
    """The only writer of a run; it holds the run's lock from creation to `close`.

    Raises (every method):
        StoreError: the disk is full, or something else changed the run's files.
    """

    def __init__(self, lock: RunLock, header: bytes, seal: Seal) -> None:
        """Open the files of a run whose `run.json` has the content `header`."""
        folder = lock.folder
        self.folder = folder
        self._lock = lock
        self._trials = LineFile(folder / TRIALS_FILE, open_for_append(folder / TRIALS_FILE))
        self._header = header
        self._seal = seal
        self._trust: bytes | None = None
        self._baseline: bytes | None = None
        self._spans = SpanWriter(folder)
        self._answers = LineFile(folder / ANSWERS_FILE)
        self._costs = LineFile(folder / COSTS_FILE)
        self._unscored: set[tuple[str, int]] = set()

    @classmethod
    def create(
        cls, root: Path, header: RunHeader, seal: Seal, stored: Iterable[Trial] = ()
    ) -> Self:
        """Start a run whose trials get this seal: create its folder, write its header, take its lock.

        The trials in `stored` are written before the header. If the process is killed meanwhile, the folder
        is no run, so that nobody continues it and pays for them again.

        Raises:
            InvalidInput: there is a run with this id.
        """
        folder = runs_folder(root) / header.id
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            hide_from_git(root / ".evalkit")
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{folder}: could not save: {os_error_reason(error)}. "
                f"Runs are stored in .evalkit, in the project's folder; make it writable."
            ) from error
        with contextlib.ExitStack() as on_failure:
            lock = on_failure.enter_context(RunLock(folder))
            if path_exists(folder / HEADER_FILE):
                raise InvalidInput.single(
                    f"there is a run {header.id!r}. Add --resume to continue it, or choose another id."
                )
            _set_debris_aside(folder)
            _store_trials(folder, seal, stored)
            newest_ns = max((time_ns for time_ns, _ in list_start_times(root)), default=0)
            path = folder / HEADER_FILE
            content = _format_header(header)
            write_atomically(path, content)
            # Runs are ordered by this time; a clock that was set back must not change their order.
            time_ns = max(path.stat().st_mtime_ns, newest_ns + 1)
            os.utime(path, ns=(time_ns, time_ns))
            writer = cls(lock, content, seal)
            on_failure.pop_all()
        return writer

    @classmethod
    def reopen(cls, lock: RunLock, seal: Seal) -> Self:
        """Continue the run whose lock is held: remove an incomplete last line and the outdated summary.

        Raises:
            StoreError: a file cannot be changed.
        """
        folder = lock.folder
        try:
            for name in (SUMMARY_FILE, TRUST_FILE, RESCORED_BASELINE_FILE, COLUMNS_FILE):
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: could not reopen: {os_error_reason(error)}.") from error
        return cls(lock, read_stored_file(folder / HEADER_FILE), seal)

    def rewrite_header(self, header: RunHeader) -> None:
        """Store a header that plans more trials, before the first call for them."""
        path = self.folder / HEADER_FILE
        self._header = _format_header(header)
        # The file's time is when the run was started.
        write_atomically(path, self._header, time_ns=path.stat().st_mtime_ns)

    def store_unscored(self, trial: Trial) -> None:
        """Store a trial that waits for its scores, its spans first."""
        self._spans.append(trial)
        self._answers.append(to_json_value(without_spans(trial)))
        self._unscored.add((trial.case_id, trial.number))

    def append(self, trial: Trial, *, rescored: bool = False) -> None:
        """Store one finished trial, its spans first; when this returns, kill -9 cannot lose it.

        The spans of a trial that was stored unscored, or that is only rescored, are already there.
        """
        if not rescored and (trial.case_id, trial.number) not in self._unscored:
            self._spans.append(trial)
        row = to_json_value(without_spans(trial))
        self._trials.append(seal_row(row, self.folder.name, self._seal))

    def append_cost(self, key: str, cost_usd: float) -> None:
        """Store the cost of one call, and who paid for it."""
        self._costs.append({"key": key, "usd": cost_usd})

    def write_trust(self, trust: JudgeTrust) -> None:
        """Store what the run showed about its judges."""
        self._trust = (canonical_json(to_json_value(trust)) + "\n").encode()
        write_atomically(self.folder / TRUST_FILE, self._trust)

    def write_baseline(self, content: bytes) -> None:
        """Store the rescored baseline of the run; see `format_rescored_baseline`."""
        self._baseline = content
        write_atomically(self.folder / RESCORED_BASELINE_FILE, content)

    def read_spans(self) -> SpansByTrial:
        """Return the spans of the run, which must be those that were written."""
        written = self._spans.file.digest
        return load_spans(self.folder, written) if written is not None else {}

    def finish(self, summary: Json) -> None:
        """Write the summary, after a check that the files contain exactly what was written.

        A run that something else changed stays marked as changed, because resuming cannot correct its
        content.
        """
        self._trials.sync()
        digests = {
            TRIALS_FILE: self._trials.digest,
            HEADER_FILE: compute_sha256(self._header),
            TRUST_FILE: None if self._trust is None else compute_sha256(self._trust),
            RESCORED_BASELINE_FILE: (
                None if self._baseline is None else compute_sha256(self._baseline)
            ),
            SPANS_FILE: self._spans.file.digest,
        }
        written = {name: digest for name, digest in digests.items() if digest is not None}
        # A file that this run did not write is a forged one.
        changed = [
            name
            for name, digest in digests.items()
            if digest_if_readable(self.folder / name) != (digest or "")
        ]
        if changed:
            write_atomically(self.folder / SUMMARY_FILE, canonical_json({CHANGED_FLAG: changed}))
            raise StoreError(describe_changed_files(self.folder, changed))
        sealed = seal_row({**summary, "sha256": written}, self.folder.name, self._seal)
        write_atomically(self.folder / SUMMARY_FILE, canonical_json(sealed))
        if SPANS_FILE in written:
            # Imported here because it takes 150 ms, which runs without spans need not pay.
            from evalkit.trace.tables import write_parquet  # noqa: PLC0415

            write_parquet(self.folder)
        # Every answer is stored with its scores now.
        self._answers.remove()

    def close(self) -> None:
        """Release the lock."""
        for file in (self._spans.file, self._answers, self._costs, self._trials):
            file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _format_header(header: RunHeader) -> bytes:
    return (canonical_json(to_json_value(header)) + "\n").encode()


def _store_trials(folder: Path, seal: Seal, stored: Iterable[Trial]) -> None:
    """Write trials and their spans to a folder that has none."""
    trials, spans = LineFile(folder / TRIALS_FILE), SpanWriter(folder)
    try:
        for trial in stored:
            spans.append(trial)
            row = to_json_value(without_spans(trial))
            trials.append(seal_row(row, folder.name, seal))
    finally:
        trials.close()
        spans.file.close()


def _set_debris_aside(folder: Path) -> None:
    """Rename the data of a folder without a header, which is no run, so that a new run cannot mix with it."""
    for name in (TRIALS_FILE, ANSWERS_FILE, SPANS_FILE, COSTS_FILE):
        path = folder / name
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{name}.broken"))
