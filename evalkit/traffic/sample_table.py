"""Store a sample in the table `samples`, and read it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.core.errors import StoreError
from evalkit.core.files import os_error_reason
from evalkit.traffic.columns import SAMPLE_COLUMNS
from evalkit.traffic.sample_cases import RequestVerdict
from evalkit.traffic.sampling import Sample
from evalkit.traffic.table import SAMPLES_FOLDER, open_traffic, quote_text


class StoredRequest(NamedTuple):
    """A request of a stored sample; `kept` is the probability with which its source kept it, if known."""

    request_id: str
    unit: str
    stratum: str
    pi: float
    purpose: str
    verdict: str
    kept: float | None
    frame_query: str


def store_sample(
    folder: Path, sample: Sample, purpose: str, verdicts: Sequence[RequestVerdict]
) -> Path:
    """Write a sample as `samples/ID.parquet`, in one step.

    Raises:
        StoreError: the system refuses.
    """
    import duckdb  # noqa: PLC0415 - it takes long, and only some commands need it

    rows = [
        [
            sample.id,
            sample.seed,
            sample.frame_query,
            each.row["request_id"],
            each.unit,
            each.stratum,
            each.chance,
            purpose,
            verdict.decided_by,
            verdict.verdict,
        ]
        for each, verdict in zip(sample.requests, verdicts, strict=True)
    ]
    path = folder / SAMPLES_FOLDER / f"{sample.id}-{purpose}.parquet"
    temporary = path.with_name(f".{path.name}")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in SAMPLE_COLUMNS.items())
    marks = ", ".join("?" for _ in SAMPLE_COLUMNS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute(f"create table sample ({columns})")
            insert = f"insert into sample values ({marks})"  # noqa: S608 - question marks
            connection.executemany(insert, rows)
            connection.execute(f"copy sample to {quote_text(str(temporary))} (format parquet)")
        temporary.replace(path)
    except (OSError, duckdb.IOException) as error:
        reason = os_error_reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(f"{path}: could not save: {reason}.") from error
    return path


def load_sample(folder: Path, sample_id: str, purpose: str) -> list[StoredRequest]:
    """Return the requests of a stored sample; empty if there is no such sample.

    Raises:
        InvalidInput: there is no such traffic.
    """
    with open_traffic(folder) as traffic:
        rows = traffic.execute(
            "select s.request_id, s.unit, s.stratum, s.pi, s.purpose, s.verdict, r.sampling_p, "
            "s.frame_query "
            "from samples s left join requests r using (request_id) "
            "where s.sample_id = ? and s.purpose = ? order by s.stratum, s.unit, s.request_id",
            [sample_id, purpose],
        ).fetchall()
    return [StoredRequest(*row) for row in rows]
