"""Read the stored runs of a set that have the same metrics as one of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evalkit.compare.history import HistoryResult
from evalkit.core.files import path_exists
from evalkit.core.run import Run, RunHeader
from evalkit.store.baseline import baseline_path, read_baseline
from evalkit.store.gate_results import read_gate_result
from evalkit.store.runs import list_set_runs, read_run, runs_folder
from evalkit.store.seal import Seal

MAX_RUNS = 20
"""Number of newest runs to read in addition to the baseline. Older runs are of an outdated agent."""


def read_history(run: Run, root: Path) -> tuple[list[Run], list[str]]:
    """Return the runs to count: the baseline, then the set's runs, oldest first."""
    header, notes = run.header, []
    found: dict[str, Run] = {}
    path = baseline_path(root / header.evalset_path, header.evalset)
    if path_exists(path):
        baseline = read_baseline(path)
        found[baseline.header.id] = baseline
    # list_set_runs leaves out runs that cannot be read.
    ids = [folder.name for folder in list_set_runs(root, header.evalset_path)][::-1]
    for run_id in ids[-MAX_RUNS:]:
        found.setdefault(
            run_id, run if run_id == header.id else read_run(runs_folder(root) / run_id)
        )
    found.setdefault(header.id, run)
    if ids[:-MAX_RUNS]:
        notes.append(f"Only the newest {MAX_RUNS} of {len(ids)} runs are counted.")
    same = [one for one in found.values() if one is run or _has_same_metrics(one.header, header)]
    if other := len(found) - len(same):
        notes.append(f"{other} stored runs are left out: they were scored with other metrics.")
    return same, notes


def _has_same_metrics(one: RunHeader, other: RunHeader) -> bool:
    """Return whether the metrics are the same; a run of some cases may lack some metrics."""
    first, second = ({info.name: info.digest for info in run.metrics} for run in (one, other))
    shared = first.keys() & second.keys()
    is_part = any(run.selection or run.shard for run in (one, other))
    return (first.keys() == second.keys() or is_part) and all(
        first[name] == second[name] for name in shared
    )


def read_stored_result(folder: Path, seal: Seal) -> HistoryResult | None:
    """Return the gate result that a run stored; None if it stored none, or one that cannot be read."""
    try:
        return msgspec.convert(read_gate_result(folder, seal), HistoryResult | None, strict=True)
    except ValueError:
        return None
