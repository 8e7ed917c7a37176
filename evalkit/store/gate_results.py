"""Store the gate result of a finished run beside it, for the commands that list runs."""

from __future__ import annotations

from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists, read_stored_file, write_atomically
from evalkit.core.literals import Json
from evalkit.core.serialization import canonical_json, parse_stored_json
from evalkit.store.run_seal import SEAL_KEY, seal_row
from evalkit.store.runs import SUMMARY_FILE, digest_if_readable
from evalkit.store.seal import Seal

GATE_RESULT_FILE = "gate_result.json"


def write_gate_result(folder: Path, run_id: str, result: Json, seal: Seal) -> None:
    """Store the gate result of a run, with the digest of the summary that it is about.

    Raises:
        StoreError: the file could not be written.
    """
    row = {"result": result, "summary": digest_if_readable(folder / SUMMARY_FILE)}
    write_atomically(folder / GATE_RESULT_FILE, canonical_json(seal_row(row, run_id, seal)) + "\n")


def read_gate_result(folder: Path, seal: Seal) -> Json:
    """Return the stored gate result of a run; None if there is none of the run as it is now.

    With a key, None also if the result is not sealed. It only informs, so a broken file is no error.
    """
    path = folder / GATE_RESULT_FILE
    try:
        if not path_exists(path):
            return None
        row = parse_stored_json(read_stored_file(path))
        signature = row.pop(SEAL_KEY, None)
        if seal and not seal.is_valid(canonical_json([folder.name, row]), signature):
            return None
        is_current = row["summary"] == digest_if_readable(folder / SUMMARY_FILE)
        return row["result"] if is_current else None
    except (StoreError, ValueError, KeyError, TypeError, AttributeError):
        return None
