"""Seal the trials and the summary of a run, and refuse a run that something else has written."""

from __future__ import annotations

from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import iter_complete_lines, path_exists, read_stored_file
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.core.serialization import canonical_json, parse_stored_json
from evalkit.store.runs import HEADER_FILE, SUMMARY_FILE, TRIALS_FILE
from evalkit.store.seal import Seal

SEAL_KEY = "seal"
"""The key of a row that has the seal of the row's other keys."""


def seal_row(row: dict[str, Json], run_id: str, seal: Seal) -> dict[str, Json]:
    """Return a row of a run with its seal; without a key, the row itself."""
    signature = seal.sign(canonical_json([run_id, row]))
    return {**row, SEAL_KEY: signature} if signature else row


def refuse_unsealed(run: Run, seal: Seal) -> None:
    """Refuse a stored run that lacks the seal; without a key, or for a baseline, check nothing.

    The summary of a finished run has the digests of its files. Of an unfinished one, the trials are sealed.

    Raises:
        StoreError: it lacks the seal, or cannot be read.
    """
    folder, run_id = Path(run.path), run.header.id
    if not seal or not path_exists(folder / HEADER_FILE):
        return
    summary = folder / SUMMARY_FILE
    unsealed = ""
    if path_exists(summary):
        if not _is_sealed(read_stored_file(summary), run_id, seal):
            unsealed = str(summary)
    else:
        trials = folder / TRIALS_FILE
        for number, line in iter_complete_lines(trials):
            if not _is_sealed(line, run_id, seal):
                unsealed = f"{trials}:{number}"
                break
    if unsealed:
        raise StoreError(
            f"{unsealed}: not sealed with the key in EVALKIT_STORE_KEY, so that something else than "
            f"evalkit may have written it. Start a new run."
        )


def _is_sealed(content: bytes, run_id: str, seal: Seal) -> bool:
    try:
        row = parse_stored_json(content)
        signature = row.pop(SEAL_KEY, None)
        return seal.is_valid(canonical_json([run_id, row]), signature)
    except (ValueError, AttributeError, TypeError):
        return False
