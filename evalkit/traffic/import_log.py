"""The file `imports.jsonl` of a store: one record for each imported file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import iter_complete_lines, write_atomically
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.serialization import canonical_json, parse_stored_record, to_json_value
from evalkit.core.source_files import UnreadableFile, open_regular_file
from evalkit.traffic.table import IMPORTS_FILE


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedFile:
    """One imported file.

    `rows` are the records read, of which `accepted` were stored and the others `rejected`, by reason.
    `unknown_keys` are the keys without a column, with their numbers. `time_min` and `time_max` are the first
    and the last time, in ISO 8601. `redactions` counts what was replaced, by kind. `options` has what else
    the result depends on.
    """

    import_id: str
    file: str
    sha256: str
    format: str
    source: str
    imported_at: str
    rows: int = 0
    accepted: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    unknown_keys: Mapping[str, int] = field(default_factory=dict)
    time_min: str = ""
    time_max: str = ""
    redactions: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)
    tool_version: str = ""


def read_imports(folder: Path) -> list[ImportedFile]:
    """Return the records of a store, the oldest first; none if there is no store.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / IMPORTS_FILE
    try:
        return [parse_stored_record(line, ImportedFile) for _, line in iter_complete_lines(path)]
    except ValueError as error:
        raise StoreError(f"{path}: not a list of imports: {error}. Restore it.") from error


def write_imports(folder: Path, records: Sequence[ImportedFile]) -> None:
    """Replace the list of imports.

    Raises:
        StoreError: the system refuses.
    """
    lines = [canonical_json(to_json_value(record)) + "\n" for record in records]
    write_atomically(folder / IMPORTS_FILE, "".join(lines))


def hash_file(path: Path, options: Mapping[str, Json]) -> tuple[str, str]:
    """Return the SHA-256 of a file, and the id of its import with these options.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        with open_regular_file(path) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except UnreadableFile as error:
        raise InvalidInput.single(str(error), Location(path=str(path))) from error
    identity = hashlib.sha256(f"{sha256} {canonical_json(options)}".encode()).hexdigest()
    return sha256, identity[:16]
