"""Weeks of made-up traffic in stores: users, weekdays, versions, failures, latencies, and ratings."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from evalkit.traffic.columns import TABLES
from evalkit.traffic.import_log import ImportedFile, read_imports, write_imports
from evalkit.traffic.table import PART_FILE, select_table, traffic_folder
from tests.support.traffic_samples import write_lines

MONDAY = date(2026, 11, 23)
IMPORTED = datetime(2026, 12, 10, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Week:
    """A week that begins so many weeks before `MONDAY`; its requests are those of `users` users."""

    before: int = 0
    users: int = 300
    requests: int = 5
    escalated: float | None = 0.1
    failed: float = 0.05
    latency_s: float = 1.0
    rated: float = 0.2
    good: float = 0.8
    rated_days: Collection[int] = range(7)
    known: float = 1.0
    """The share of the requests of which it is known whether they succeeded."""
    fallback: str = ""
    """The version that answers a failed request three seconds later."""
    has_sessions: bool = False
    """Whether each request, with its repetition, is a session."""
    rooted: float = 1.0
    """The share of the requests whose trace has its root."""
    priced: float = 0.0
    """The share of the requests whose cost is known."""
    version: str = "v1"
    prefix: str = ""
    """What names of users and ids of requests begin with."""
    renamed: str = ""
    """What else ids of requests begin with."""
    skipped_days: Collection[int] = ()
    until_hour: float = 24.0
    seed: int = 0

    def store(self, root: Path, name: str, imported: datetime = IMPORTED) -> None:
        """Add the week to a project's traffic of this name, as an import at that time would."""
        folder = traffic_folder(root, name)
        requests, feedback = self._list_rows()
        for table, rows in (("requests", requests), ("feedback", feedback)):
            _write_days(folder / table, table, rows)
        record = ImportedFile(
            import_id=f"{self.prefix}{self.version}", file=f"{name}.jsonl", sha256="", format="table",
            source="", imported_at=imported.isoformat(), rows=len(requests), accepted=len(requests),
        )  # fmt: skip
        write_imports(folder, [*read_imports(folder), record])

    def _list_rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        rng = np.random.default_rng([self.seed, self.before])
        start = datetime(MONDAY.year, MONDAY.month, MONDAY.day, tzinfo=UTC) - timedelta(
            weeks=self.before
        )
        requests, feedback = [], []
        for number in range(self.users * self.requests):
            day = number % 7
            hour = float(rng.uniform(6, 23.9))
            draws = rng.random(4)
            latency = self.latency_s * float(rng.lognormal(0, 0.5))
            if day in self.skipped_days or (day == 6 and hour > self.until_hour):
                continue
            name = f"{self.renamed}{self.prefix}{self.version}-{self.before}-{number}"
            ts = start + timedelta(days=day, hours=hour)
            row = {"request_id": name, "ts": ts.isoformat(), "day": ts.date().isoformat()}
            requests.append(
                {
                    **row,
                    "user": f"{self.prefix}u{number // self.requests}",
                    "version": self.version,
                    "incomplete": number % 10 >= 10 * self.rooted,
                    "ok": bool(draws[0] >= self.failed) if number % 10 < 10 * self.known else None,
                    "cost_usd": 0.01 if number % 10 < 10 * self.priced else None,
                    "latency_ms": 1000 * latency,
                    "escalated": None
                    if self.escalated is None
                    else bool(draws[1] < self.escalated),
                }
            )
            failed = requests[-1]
            failed["input_hash"] = name
            failed["session"] = name if self.has_sessions else None
            if self.fallback and failed["ok"] is False:
                later = {
                    "request_id": f"{name}-again",
                    "ts": (ts + timedelta(seconds=3)).isoformat(),
                }
                requests.append({**failed, **later, "version": self.fallback, "ok": True})
            if draws[2] < self.rated and day in self.rated_days:
                good = bool(draws[3] < self.good)
                feedback.append({**row, "feedback_id": name, "name": "rating", "source": "user", "good": good})  # fmt: skip
        return requests, feedback


def _write_days(folder: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """Write a file for each day with its rows, and with those that it has."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = write_lines(folder / "rows.jsonl", rows)
    columns = {**TABLES[table], "day": "DATE"}
    with duckdb.connect() as connection:
        connection.execute(f"create table rows as {select_table(folder.parent, table)}")
        connection.execute(
            f"insert into rows by name select * from read_json('{listed}', columns = {columns})"
        )
        for (day,) in connection.execute("select distinct day from rows").fetchall():
            path = folder / f"day={day}" / PART_FILE
            path.parent.mkdir(exist_ok=True)
            connection.execute(
                f"copy (select * exclude (day) from rows where day = date '{day}') to '{path}' (format parquet)"
            )
    listed.unlink()


def read_json(text: str) -> Any:
    """Return printed JSON."""
    return json.loads(text)
