"""Import files of traffic into a store: read, redact, stage, merge."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from evalkit import __version__
from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import hide_from_git, lock_folder, path_exists
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.source_files import display_path
from evalkit.traffic.formats import choose_reader
from evalkit.traffic.import_log import ImportedFile, hash_file, read_imports, write_imports
from evalkit.traffic.merge import merge_stage
from evalkit.traffic.raw_records import RawRecord, read_raw_records
from evalkit.traffic.record_reader import DamagedRecord, RecordReader
from evalkit.traffic.row_redaction import RowRedaction, ValueRedaction
from evalkit.traffic.stage import ImportStage, open_stage
from evalkit.traffic.table import UNFINISHED_FILE

MAX_PROBLEMS = 50
"""Damaged records of one file that are listed; the others are counted."""

_MAX_UNKNOWN_KEYS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """How files are read: `format` empty to recognize it, `source` empty for the name of the format.

    `mapping` has the column of each field for tables of any kind. `lenient` skips damaged records.
    `redaction` has what else the stored values depend on.
    """

    format: str = ""
    source: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    lenient: bool = False
    redaction: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportResult:
    """What an import did: the new `imported` files, those `known` before, and the new rows by table.

    `other_traces` counts the traces that are no requests, and `problems` are the damaged records skipped.
    """

    imported: tuple[ImportedFile, ...]
    known: tuple[ImportedFile, ...]
    added: Mapping[str, int]
    other_traces: int = 0
    problems: tuple[Problem, ...] = ()


class FileJob(NamedTuple):
    """A file to be imported, its hash, and the id of its import."""

    path: Path
    sha256: str
    import_id: str


def import_files(
    paths: Sequence[Path],
    folder: Path,
    options: ImportOptions,
    redaction: ValueRedaction,
    now: Callable[[], datetime],
) -> ImportResult:
    """Import files into the store in `folder`; all of them or, if one is damaged, none.

    Raises:
        InvalidInput: files cannot be read or are damaged; nothing was stored.
        StoreError: the store cannot be written.
    """
    jobs = _list_jobs(paths, options)
    with lock_folder(folder.parent):
        earlier = read_imports(folder)
        unfinished = folder / UNFINISHED_FILE
        if path_exists(unfinished):
            # Rows of any of these files may be missing.
            named = {job.import_id for job in jobs}
            earlier = [record for record in earlier if record.import_id not in named]
        ids = {record.import_id for record in earlier}
        new_jobs = [job for job in jobs if job.import_id not in ids]
        known = tuple(
            record for record in earlier if record.import_id in {job.import_id for job in jobs}
        )
        if not new_jobs:
            return ImportResult(imported=(), known=known, added={})
        for leftover in folder.glob(".import-*"):  # of an import that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        hide_from_git(folder.parent.parent)
        had_store = folder.exists()
        try:
            with _explain_storage(folder), open_stage(folder) as stage:
                importer = _Importer(stage, options, RowRedaction(redaction), now)
                records = importer.read_files(new_jobs)
                merged = merge_stage(stage, folder, [record.file for record in records])
            write_imports(folder, [*earlier, *records])
            unfinished.unlink()
        finally:
            if not had_store and not any(folder.iterdir()):
                folder.rmdir()
        return ImportResult(
            imported=tuple(records),
            known=known,
            added=merged.added,
            other_traces=merged.other_traces,
            problems=tuple(importer.problems),
        )


@contextmanager
def _explain_storage(folder: Path) -> Iterator[None]:
    """Turn errors of DuckDB, such as a full disk, into errors of the store."""
    import duckdb  # noqa: PLC0415 - it is loaded for an import only

    try:
        yield
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise StoreError(
            f"{folder}: could not store the import: {reason}. Nothing was changed; free disk space "
            "and import again."
        ) from error


def _list_jobs(paths: Sequence[Path], options: ImportOptions) -> list[FileJob]:
    identity = {
        "format": options.format,
        "source": options.source,
        "mapping": dict(options.mapping),
        "redaction": dict(options.redaction),
        "version": __version__,
    }
    jobs: dict[str, FileJob] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            job = FileJob(path, *hash_file(path, identity))
            jobs.setdefault(job.import_id, job)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return list(jobs.values())


class _Importer:
    """Reads files into a stage, and collects their problems."""

    def __init__(
        self,
        stage: ImportStage,
        options: ImportOptions,
        redaction: RowRedaction,
        now: Callable[[], datetime],
    ) -> None:
        self._stage = stage
        self._options = options
        self._redaction = redaction
        self._now = now
        self.problems: list[Problem] = []

    def read_files(self, jobs: Sequence[FileJob]) -> list[ImportedFile]:
        """Read files into the stage, and return their records.

        Raises:
            InvalidInput: the problems of all files, unless they are to be skipped.
        """
        records = []
        refused: dict[str, Problem] = {}
        for job in jobs:
            try:
                records.append(self._read_file(job))
            except InvalidInput as error:
                # They may quote keys of the file.
                safe = [
                    replace(each, message=self._redaction.redact_message(each.message))
                    for each in error.problems
                ]
                refused |= {str(problem): problem for problem in safe}
        if refused or (self.problems and not self._options.lenient):
            advice = "nothing was stored. Correct the file, or skip damaged records with --lenient."
            skippable = [Problem(message=advice)] if self.problems else []
            raise InvalidInput([*refused.values(), *self.problems, *skippable])
        return records

    def _read_file(self, job: FileJob) -> ImportedFile:
        """Read one file into the stage, and return its record."""
        name = display_path(job.path)
        before = Counter(self._redaction.counts)
        rejected: Counter[str] = Counter()
        times = _TimeRange()
        records = read_raw_records(job.path)
        format_name, reader, records = choose_reader(
            records, name, self._options.format, self._options.source, self._options.mapping
        )
        rows = accepted = 0
        for record in records:
            rows += 1
            damage = record.damage or self._read_record(record, reader, job, times)
            if damage:
                rejected[damage.partition(" at ")[0]] += 1
                self._report(name, record.number, damage, rejected.total())
            else:
                accepted += 1
        if rejected.total() > MAX_PROBLEMS:
            rest = rejected.total() - MAX_PROBLEMS
            message = f"{rest:,} more damaged records."
            self.problems.append(Problem(message=message, where=Location(path=name)))
        if not rows:
            raise InvalidInput.single("the file has no records.", Location(path=name))
        if not accepted and self._options.lenient:
            message = f"no record can be read as {format_name}."
            raise InvalidInput.single(message, Location(path=name))
        return ImportedFile(
            import_id=job.import_id,
            file=name,
            sha256=job.sha256,
            format=format_name,
            source=self._options.source or format_name,
            imported_at=self._now().astimezone(UTC).isoformat(timespec="seconds"),
            rows=rows,
            accepted=accepted,
            rejected=dict(rejected),
            unknown_keys=dict(reader.unknown_keys.most_common(_MAX_UNKNOWN_KEYS)),
            time_min=times.format_first(),
            time_max=times.format_last(),
            redactions=dict(self._redaction.counts - before),
            options={
                "mapping": dict(self._options.mapping),
                "redaction": dict(self._options.redaction),
            },
            tool_version=__version__,
        )

    def _read_record(
        self, record: RawRecord, reader: RecordReader, job: FileJob, times: _TimeRange
    ) -> str:
        """Stage the rows of a record; return why it is damaged, or an empty text."""
        try:
            found = list(reader.read(record.value))
        except DamagedRecord as error:
            return str(error)
        is_trace = all(table != "requests" for table, _ in found)
        for table, row in found:
            row["import_id"] = job.import_id
            times.add(row)
            self._redaction.redact(row, is_trace=is_trace)
            self._stage.add(table, row)
        return ""

    def _report(self, name: str, number: int, damage: str, count: int) -> None:
        if count <= MAX_PROBLEMS:
            message = self._redaction.redact_message(f"{damage}.")
            self.problems.append(Problem(message=message, where=Location(path=name, line=number)))


class _TimeRange:
    """The first and the last time of the rows of a file."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: int | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Count the time of a row."""
        time_us = row["start_ns"] // 1000 if "start_ns" in row else row.get("ts")
        if time_us is None:
            return
        if self._first is None or time_us < self._first:
            self._first = time_us
        if self._last is None or time_us > self._last:
            self._last = time_us

    def format_first(self) -> str:
        """Return the first time in ISO 8601; empty without any."""
        return _format_us(self._first)

    def format_last(self) -> str:
        """Return the last time in ISO 8601; empty without any."""
        return _format_us(self._last)


def _format_us(time_us: int | None) -> str:
    if time_us is None:
        return ""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")
