"""What every format provides: a reader that turns one record of a file into rows of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol, TypeAlias

from evalkit.core.literals import Json
from evalkit.traffic.columns import Row

TableRow: TypeAlias = tuple[str, Row]
"""The name of a table, requests, spans, or feedback, and a row of it."""


class DamagedRecord(Exception):
    """A record cannot be read; the message says why, and quotes nothing from the file."""


class RecordReader(Protocol):
    """Reads the records of one file.

    `unknown_keys` counts the keys of records that have no column.
    """

    unknown_keys: Counter[str]

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the rows of a record.

        Raises:
            DamagedRecord: it is not a record of this format.
        """
