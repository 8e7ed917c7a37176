"""Store the gate result of a run, and decide stored runs that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.commands.gate_result import GatePolicy, evaluate_gate
from evalkit.compare.history import HistoryResult
from evalkit.compare.history_result import build_history_result
from evalkit.core.run import Run
from evalkit.core.serialization import to_json_value
from evalkit.evalset.project import Project
from evalkit.report.model import Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.case_metrics import DEFAULT_GATE
from evalkit.store.gate_results import write_gate_result
from evalkit.store.seal import Seal


def store_result(report: Report, project: Project) -> Report:
    """Store the gate result of a finished run, and return the report unchanged.

    A shard has no result of its own. Decisions never read the stored one.

    Raises:
        StoreError: the file could not be written.
    """
    run = report.run
    if run.finished and run.path and not run.header.shard:
        result = build_history_result(report.gate_result, run, report.baseline)
        seal = Seal(read_store_key(project.environ))
        write_gate_result(Path(run.path), run.header.id, to_json_value(result), seal)
    return report


def decide_again(run: Run, baselines: Sequence[Run], project: Project) -> HistoryResult:
    """Return the result of a run's own thresholds, for a run that stored none.

    It is compared with the newest of the baselines that are not newer than the run.
    """
    earlier = [each for each in baselines if each.header.created <= run.header.created]
    baseline = max(earlier, key=lambda each: each.header.created, default=None)
    policy = GatePolicy.from_settings(run.header.settings)
    rules = run.header.gate or DEFAULT_GATE
    result = evaluate_gate(run, rules, baseline, policy, CommandHints.of(project))
    return replace(build_history_result(result, run, baseline), is_recomputed=True)
