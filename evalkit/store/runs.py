"""Runs on disk: `run.json` before the first call, `trials.jsonl` line by line, `summary.json` last.

A run is a folder `.evalkit/runs/<id>/`. A complete line of `trials.jsonl` is never lost: kill -9 can
only leave the last line incomplete. A reader skips that line, and a resumed run removes it.
`answers.jsonl` has the answers that may not be scored yet, and `spans.jsonl` has the spans. A run
without `summary.json` is unfinished.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.files import (
    hash_stored_file,
    hide_from_git,
    os_error_reason,
    path_exists,
    read_stored_file,
    write_atomically,
)
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Json, RunCommand
from evalkit.core.run import Run, RunHeader
from evalkit.core.serialization import parse_stored_json, parse_stored_record
from evalkit.core.settings import Settings
from evalkit.core.trial import Trial
from evalkit.store.run_lock import RunLock
from evalkit.store.trial_lines import TrialReader, read_full_trial, read_only_case, read_trials

HEADER_FILE = "run.json"
TRIALS_FILE = "trials.jsonl"
SUMMARY_FILE = "summary.json"
TRUST_FILE = "judges.json"
SPANS_FILE = "spans.jsonl"
RESCORED_BASELINE_FILE = "baseline.jsonl"
"""The run's baseline, if the baseline was rescored for the run."""

BATCH_FILE = "batch.json"
"""The file that a command with several sets has in place of a run; see `batches`."""

RUN_SCHEMA = "evalkit.run/v1"
CHANGED_FLAG = "changed_from_outside"


def runs_folder(root: Path) -> Path:
    """Return the folder of a project's runs."""
    return root / ".evalkit" / "runs"


def new_run_id(now: datetime, evalset: str, token: str) -> str:
    """Return a readable id: the time of the start, the eval set's name and a token."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", evalset.casefold()).strip("-")[:40] or "set"
    return f"{stamp}-{name}-{token}"


def list_run_ids(root: Path) -> tuple[str, ...]:
    """Return the ids of all stored runs, in the order in which the runs were started."""
    return tuple(run_id for _, run_id in sorted(list_start_times(root)))


def create_runs_folder(root: Path) -> None:
    """Create the folder of a project's runs, which git ignores.

    Raises:
        OSError: it cannot be written.
    """
    runs_folder(root).mkdir(parents=True, exist_ok=True)
    hide_from_git(root / ".evalkit")


def list_start_times(root: Path, name: str = HEADER_FILE) -> list[tuple[int, str]]:
    """Return the start time of each run in nanoseconds and its id, unsorted.

    The time is that of the header's file, which `RunWriter.create` sets to be later than all others. With
    another file `name`, return the folders that have that file, and its times.

    Raises:
        StoreError: the folder of runs cannot be read.
    """
    found = []
    try:
        folders = list(runs_folder(root).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            f"{runs_folder(root)}: could not be read: {os_error_reason(error)}."
        ) from error
    for folder in folders:
        # Folders that are no runs, or belong to another user, are skipped.
        with contextlib.suppress(OSError):
            found.append(((folder / name).stat().st_mtime_ns, folder.name))
    return found


def describe_changed_files(folder: Path, names: Sequence[str]) -> str:
    """Return the message about files of a run that something else changed."""
    return (
        f"{folder / names[0]}: changed by something else than the run that wrote it. "
        f"Keep the agent away from .evalkit and run again."
    )


def compute_sha256(data: bytes) -> str:
    """Return the SHA-256 of data, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_if_readable(path: Path) -> str:
    """Return the SHA-256 of a file; empty when it cannot be read."""
    try:
        return hash_stored_file(path)
    except StoreError:
        return ""


def read_run(folder: Path, only_case: str | None = None) -> Run:
    """Read a run back, finished or not; safe while it is being written, finished or resumed.

    With `only_case`, trials of other cases have only what a report on that case needs: the flags.

    Raises:
        StoreError: the folder has no readable run, or its files were changed. The
            message names the line.
    """
    read_trial = read_full_trial if only_case is None else read_only_case(only_case)
    while True:
        # First: a summary that is there before the other files are read was written after them.
        summary = _read_if_present(folder / SUMMARY_FILE)
        run, changed = _read_files(folder, summary, read_trial)
        # A run that is resumed deletes its summary before anything else, so that what was read meanwhile
        # is of two states.
        if not changed or _read_if_present(folder / SUMMARY_FILE) == summary:
            break
    if changed:
        raise StoreError(describe_changed_files(folder, changed))
    return run


def _read_if_present(path: Path) -> bytes | None:
    """Return a file's content; None if it is missing, or is deleted at this moment."""
    try:
        return read_stored_file(path) if path_exists(path) else None
    except StoreError:
        if path_exists(path):
            raise
        return None


def _read_files(
    folder: Path, summary: bytes | None, read_trial: TrialReader
) -> tuple[Run, Sequence[str]]:
    """Return the run, and the names of the files that do not match the summary."""
    header = read_header(folder)
    path = folder / TRIALS_FILE
    rows, digest, incomplete = read_trials(path, read_trial)
    # A run may be read while it is written, so an incomplete last line is not damage.
    warnings = (f"{path}: the last line is incomplete and was skipped.",) if incomplete else ()
    run = replace(
        assemble_run(header, rows),
        path=str(folder),
        finished=summary is not None,
        warnings=warnings,
        trust=_read_trust(folder / TRUST_FILE),
    )
    return run, () if summary is None else _find_changed_files(folder, summary, digest)


def _read_trust(path: Path) -> JudgeTrust | None:
    stored = _read_if_present(path)
    if stored is None:
        return None
    try:
        return msgspec.convert(parse_stored_json(stored), JudgeTrust, strict=True)
    except ValueError as error:
        raise StoreError(f"{path}: not what a run writes: {error}. Start a new run.") from error


def _find_changed_files(folder: Path, summary: bytes, trials_digest: str) -> Sequence[str]:
    """Return the names of the files of a finished run that do not match the digests in its summary."""
    try:
        stored = parse_stored_json(summary)
        digests = dict(stored.get("sha256", {}))
        # Not the spans: they are large, few commands read them, and `load_spans` checks them.
        now = {
            TRIALS_FILE: trials_digest,
            HEADER_FILE: digest_if_readable(folder / HEADER_FILE),
            TRUST_FILE: digest_if_readable(folder / TRUST_FILE),
            RESCORED_BASELINE_FILE: digest_if_readable(folder / RESCORED_BASELINE_FILE),
        }
        changed = stored.get(CHANGED_FLAG) or [
            name for name, digest in now.items() if digests.get(name, digest) != digest
        ]
        # A summary without these digests was not written by a run.
        if not changed and not {TRIALS_FILE, HEADER_FILE} <= digests.keys():
            changed = [SUMMARY_FILE]
        # The run had no judge, no spans, or no rescored baseline, so something else wrote the file.
        changed = changed or [
            name
            for name in (TRUST_FILE, SPANS_FILE, RESCORED_BASELINE_FILE)
            if name not in digests and path_exists(folder / name)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        changed = [SUMMARY_FILE]
    return changed


def repair_run(folder: Path) -> tuple[int, int]:
    """Drop the lines that cannot be read; return how many were kept and how many dropped.

    The original file is kept as `trials.jsonl.broken`.

    Raises:
        InvalidInput: another process is writing the run.
        StoreError: the run's header or its trials cannot be read, or the file cannot be saved.
    """
    with RunLock(folder):
        return _repair_locked_run(folder)


def _repair_locked_run(folder: Path) -> tuple[int, int]:
    path = folder / TRIALS_FILE
    read_header(folder)
    content = read_stored_file(path)
    lines = content.removesuffix(b"\n").split(b"\n")
    kept = []
    for line in lines:
        with contextlib.suppress(ValueError):
            read_full_trial(line)
            kept.append(line)
    dropped = len(lines) - len(kept)
    if dropped:
        write_atomically(path.with_suffix(".jsonl.broken"), content)
        write_atomically(path, b"".join(line + b"\n" for line in kept))
        # It has the digest of the old file. Without a summary the run is unfinished and can be resumed.
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
    return len(kept), dropped


def assemble_run(header: RunHeader, rows: Iterable[Trial]) -> Run:
    """Return rows as trials ordered by case and number; if a trial has several rows, the last one counts."""
    latest = {(row.case_id, row.number): row for row in rows}
    position = {case.id: index for index, case in enumerate(header.cases)}
    # Rows of cases that the header does not name were not asked for.
    known = [row for row in latest.values() if row.case_id in position]
    ordered = sorted(known, key=lambda row: (position[row.case_id], row.number))

    def is_fresh(row: Trial) -> bool:
        return row.case_id in header.fresh and row.number >= header.trials

    return Run(
        header=header,
        trials=tuple(row for row in ordered if not is_fresh(row)),
        fresh=tuple(filter(is_fresh, ordered)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _HeaderVersion:
    """Who wrote a header, and in which form."""

    schema: Json = RUN_SCHEMA
    evalkit_version: Json = None


def read_header(folder: Path) -> RunHeader:
    """Read a run's header.

    Raises:
        StoreError: it is missing, not a header, or of another schema.
    """
    path = folder / HEADER_FILE
    try:
        content = read_stored_file(path)
        stored = parse_stored_record(content, _HeaderVersion)
        schema = stored.schema
        if schema != RUN_SCHEMA:
            raise StoreError(
                f"{path}: schema {schema!r}, made by evalkit {stored.evalkit_version}; "
                f"this one reads {RUN_SCHEMA!r}. Install that version to read it."
            )
        header = parse_stored_record(content, RunHeader)
        # They are stored as a plain mapping. Check the types here, not in a later command.
        msgspec.convert(header.settings, Settings, strict=True)
    except ValueError as error:
        raise StoreError(f"{path}: not a run: {error}. Start a new run.") from error
    return header


def find_unfinished_run(root: Path, evalset_path: str, command: RunCommand) -> Path | None:
    """Return the folder of the newest unfinished run of an eval set that `command` started, if any."""
    for folder, header in _iter_set_runs(root, evalset_path):
        if header.command == command and not path_exists(folder / SUMMARY_FILE):
            return folder
    return None


def list_set_runs(root: Path, evalset_path: str) -> Iterator[Path]:
    """Yield the folders of the readable runs of an eval set, newest first; skip broken ones."""
    return (folder for folder, _ in _iter_set_runs(root, evalset_path))


def _iter_set_runs(root: Path, evalset_path: str) -> Iterator[tuple[Path, RunHeader]]:
    for run_id in reversed(list_run_ids(root)):
        folder = runs_folder(root) / run_id
        with contextlib.suppress(StoreError):
            header = read_header(folder)
            if header.evalset_path == evalset_path:
                yield folder, header
