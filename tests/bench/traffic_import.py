"""Measure the import of many spans: CPU time, memory, and the time of a query.

    python -m tests.bench.traffic_import [SPANS]

Values are not redacted, so that the figures are of reading and storing alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from evalkit.traffic.importer import ImportOptions, import_files
from evalkit.traffic.table import open_traffic, traffic_folder
from tests.support.traffic_samples import KeptValues, export, support_request

SPANS_PER_REQUEST = 5
DAYS = 14
BATCH = 20
QUERY = """
select count(*) from requests
where day = '2026-11-03' and version = 'v3' and not ok and list_contains(tools, 'get_order')
"""


def write_sample(path: Path, spans: int) -> None:
    """Write a file like those of the Collector: a line has the spans of several requests."""
    requests = spans // SPANS_PER_REQUEST
    with path.open("w") as stream:
        for first in range(0, requests, BATCH):
            # Requests are in the order of their days, and versions take turns.
            found = [
                span
                for number in range(first, min(first + BATCH, requests))
                for span in support_request(
                    number, day=number * DAYS // requests, failed=number % 37 == 0
                )
            ]
            version = f"v{first // BATCH % 3 + 1}"
            stream.write(json.dumps(export(found, service__version=version)) + "\n")


def measure_import(path: Path, root: Path) -> dict[str, float]:
    """Import a file in this process, and return what it took."""
    folder = traffic_folder(root, "bench")
    started = time.perf_counter()
    import_files([path], folder, ImportOptions(), KeptValues(), lambda: datetime.now(UTC))
    wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open_traffic(folder) as connection:
        counted = connection.execute("select count(*) from spans").fetchone()
        started = time.perf_counter()
        connection.execute(QUERY).fetchall()
        query_s = time.perf_counter() - started
    stored = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    return {
        "spans": counted[0] if counted else 0,
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "wall_s": round(wall_s, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "query_ms": round(query_s * 1000),
        "input_mb": round(path.stat().st_size / 1e6),
        "stored_mb": round(stored / 1e6),
    }


def main() -> None:
    """Write a sample, import it in a process of its own, and print what it took."""
    if len(sys.argv) > 2:
        print(json.dumps(measure_import(Path(sys.argv[1]), Path(sys.argv[2]))))
        return
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder, "traces.jsonl")
        write_sample(path, spans)
        subprocess.run(
            [sys.executable, "-m", "tests.bench.traffic_import", str(path), folder], check=True
        )


if __name__ == "__main__":
    main()
