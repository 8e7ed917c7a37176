"""Read `costs.jsonl`: what the calls of a run have cost so far, so that a resumed run counts it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.files import iter_complete_lines

COSTS_FILE = "costs.jsonl"


class PaidRow(msgspec.Struct, frozen=True):
    """The cost of one call: `key` says who paid for it."""

    key: str
    usd: float


def load_costs(folder: Path) -> tuple[tuple[str, float], ...]:
    """Return the key and the cost of every paid call of a run, without an incomplete last line.

    Raises:
        StoreError: a line is not a cost.
    """
    path = folder / COSTS_FILE
    found = []
    for number, line in iter_complete_lines(path):
        try:
            row = msgspec.json.decode(line, type=PaidRow)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"{path}:{number}: not a cost: {error}. Delete the line; the cost limits then "
                f"count less than was spent."
            ) from error
        found.append((row.key, row.usd))
    return tuple(found)
