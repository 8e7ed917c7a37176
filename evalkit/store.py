"""Runs on disk: `run.json` before the first call, `trials.jsonl` line by line, `summary.json` last.

A run is a folder `.evalkit/runs/<id>/`. A line of `trials.jsonl` that was written whole is never
lost: kill -9 can only tear the last line, which a reader drops and a resumed run cuts off. Meanwhile
`answers.jsonl` has what waits for its scores, and `spans.jsonl` the steps. The absence of `summary.json`
is what tells that a run is unfinished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from evalkit.answerfile import AnswerWriter
from evalkit.digest import canonical
from evalkit.errors import InvalidInput, StoreError
from evalkit.files import (
    append_line,
    cut_torn_line,
    exists,
    open_to_append,
    read_stored,
    reason_of,
    write_whole,
)
from evalkit.judgement import Trust
from evalkit.packing import pack, unpack
from evalkit.records import Json, Run, RunHeader, Trial
from evalkit.settings import Settings
from evalkit.spanfile import COLUMNS_FILE, SPANS_FILE, SpanWriter, without_spans

HEADER_FILE = "run.json"
TRIALS_FILE = "trials.jsonl"
SUMMARY_FILE = "summary.json"
TRUST_FILE = "judges.json"

RUN_SCHEMA = "evalkit.run/v1"
CHANGED = "changed_from_outside"


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
    found = []
    try:
        folders = list(runs_folder(root).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{runs_folder(root)}: could not be read: {reason_of(error)}.") from error
    for folder in folders:
        # What belongs to somebody else, or is no run, is passed over.
        with contextlib.suppress(OSError):
            found.append(((folder / HEADER_FILE).stat().st_mtime_ns, folder.name))
    return found


class RunWriter:
    """The one writer of a run; holds its lock from creation to `close`.

    Raises (every method):
        StoreError: the disk is full, or the run's files were changed from outside meanwhile.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self._sha256 = hashlib.sha256(read_stored(folder / TRIALS_FILE))
        self._header = read_stored(folder / HEADER_FILE)
        self._trust: bytes | None = None
        self._spans = SpanWriter(folder)
        self._answers = AnswerWriter(folder)
        self._waiting: set[tuple[str, int]] = set()

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
            raise _not_saved(folder, error) from error
        try:
            folder.mkdir()
        except FileExistsError:
            raise InvalidInput.single(
                f"there is a run {header.id!r}. Add --resume to go on with it, or choose another id."
            ) from None
        except OSError as error:
            raise _not_saved(folder, error) from error
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
            cut_torn_line(descriptor, folder / TRIALS_FILE)
            for name in (SUMMARY_FILE, TRUST_FILE, COLUMNS_FILE):
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{folder}: could not reopen: {reason_of(error)}.") from error
        return cls(folder, descriptor)

    def rewrite_header(self, header: RunHeader) -> None:
        """Have the run set out to do more than it did so far, before the first call for that."""
        path = self.folder / HEADER_FILE
        # Its time tells when the run was started.
        write_whole(path, canonical(pack(header)) + "\n", time_ns=path.stat().st_mtime_ns)
        self._header = read_stored(path)

    def keep(self, trial: Trial) -> None:
        """Store a trial that waits for its scores, its spans first."""
        self._spans.append(trial)
        self._answers.append(trial)
        self._waiting.add((trial.case_id, trial.number))

    def append(self, trial: Trial, *, rescored: bool = False) -> None:
        """Store one finished trial, its spans first; when this returns, kill -9 cannot lose it.

        The spans of a trial that was kept, or that only has other scores now, are there already.
        """
        key = (trial.case_id, trial.number)
        if not rescored and key not in self._waiting:
            self._spans.append(trial)
        line = (canonical(pack(without_spans(trial))) + "\n").encode()
        append_line(self._descriptor, self.folder / TRIALS_FILE, line)
        self._sha256.update(line)

    def write_trust(self, trust: Trust) -> None:
        """Store what was seen of the judges."""
        write_whole(self.folder / TRUST_FILE, canonical(pack(trust)) + "\n")
        self._trust = read_stored(self.folder / TRUST_FILE)

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
            write_whole(self.folder / SUMMARY_FILE, canonical({CHANGED: changed}))
            raise StoreError(changed_text(self.folder, changed))
        write_whole(self.folder / SUMMARY_FILE, canonical({**summary, "sha256": written}))
        if self._spans.digest is not None:
            # 150 ms of imports that a run without spans is spared.
            from evalkit.tracing.columns import write_columns  # noqa: PLC0415

            write_columns(self.folder)
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


def changed_text(folder: Path, names: Sequence[str]) -> str:
    """That files of a run are not what was written, and what to do."""
    return (
        f"{folder / names[0]}: changed by something else than the run that wrote it. "
        f"Keep the agent away from .evalkit and run again."
    )


def _not_saved(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: could not save: {reason_of(error)}. "
        f"Runs are stored in .evalkit, in the project's folder; make it writable."
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(path: Path) -> str:
    try:
        return _sha256(read_stored(path))
    except StoreError:
        return ""


def _open_locked(path: Path) -> int:
    descriptor = open_to_append(path)
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
        StoreError: there is no readable run in the folder, or not the one that was written there; the
            message names the line.
    """
    header = read_header(folder)
    path = folder / TRIALS_FILE
    content = read_stored(path) if exists(path) else b""
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
    finished = exists(folder / SUMMARY_FILE)
    if finished:
        _refuse_changed(folder, content)
    return replace(
        run,
        path=str(folder),
        finished=finished,
        warnings=warnings,
        trust=_read_trust(folder / TRUST_FILE),
    )


def _read_trust(path: Path) -> Trust | None:
    if not exists(path):
        return None
    try:
        return msgspec.convert(unpack(read_stored(path)), Trust, strict=True)
    except ValueError as error:
        raise StoreError(f"{path}: not what a run writes: {error}. Start a new run.") from error


def _refuse_changed(folder: Path, trials: bytes) -> None:
    """Raise StoreError when a finished run is not what its summary was written for."""
    try:
        summary = unpack(read_stored(folder / SUMMARY_FILE))
        digests = dict(summary.get("sha256", {}))
        digests.pop(SPANS_FILE, None)  # large, read by few, and checked by those (`steps`)
        changed = summary.get(CHANGED) or [
            name
            for name, digest in digests.items()
            if digest != (_sha256(trials) if name == TRIALS_FILE else _digest(folder / name))
        ]
        if not changed and not {TRIALS_FILE, HEADER_FILE} <= digests.keys():
            changed = [SUMMARY_FILE]
        if not changed and TRUST_FILE not in digests and exists(folder / TRUST_FILE):
            changed = [TRUST_FILE]
    except (ValueError, KeyError, TypeError, AttributeError):
        changed = [SUMMARY_FILE]
    if changed:
        raise StoreError(changed_text(folder, changed))


def repair_run(folder: Path) -> tuple[int, int]:
    """Drop the lines that cannot be read; returns how many were kept and how many dropped.

    The file as it was stays beside it as `trials.jsonl.broken`.
    """
    path = folder / TRIALS_FILE
    read_header(folder)
    content = read_stored(path)
    kept = []
    dropped = 0
    for line in content.removesuffix(b"\n").split(b"\n"):
        try:
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
    return msgspec.convert(unpack(line), Trial, strict=True)


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
        stored = unpack(read_stored(path))
        schema, version = stored.get("schema", RUN_SCHEMA), stored.get("evalkit_version")
        if schema != RUN_SCHEMA:
            raise StoreError(
                f"{path}: schema {schema!r}, made by evalkit {version}; this one reads "
                f"{RUN_SCHEMA!r}. Install that version to read it."
            )
        header = msgspec.convert(stored, RunHeader, strict=True)
        msgspec.convert(header.settings, Settings, strict=True)
    except (ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a run: {error}. Start a new run.") from error
    return header


def find_unfinished(root: Path, evalset_path: str) -> Path | None:
    """The newest unfinished run of an eval set, if there is one."""
    for folder in runs_of(root, evalset_path):
        if not exists(folder / SUMMARY_FILE):
            return folder
    return None


def runs_of(root: Path, evalset_path: str) -> Iterator[Path]:
    """The readable runs of an eval set, newest first; a broken one keeps nobody from the others."""
    for run_id in reversed(list_run_ids(root)):
        folder = runs_folder(root) / run_id
        with contextlib.suppress(StoreError):
            if read_header(folder).evalset_path == evalset_path:
                yield folder
