"""Say what the result of a stored run was when it was made."""

from __future__ import annotations

from dataclasses import replace

from evalkit.commands.stored_runs import read_stored_result
from evalkit.evalset.project import Project
from evalkit.report.model import Report
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.runs import runs_folder
from evalkit.store.seal import Seal


def note_first_result(report: Report, project: Project) -> Report:
    """Say what the result was when the run was made, if the gate of today decides otherwise."""
    folder = runs_folder(project.root) / report.run.header.id
    first = read_stored_result(folder, Seal(read_store_key(project.environ)))
    result = report.gate_result
    if first is None or first.exit_code == result.exit_code:
        return report
    note = (
        f"When it ran, the result was {first.word}, exit code {first.exit_code}: {first.reason} "
        "This result is that of the gate and the baseline of now."
    )
    return replace(report, gate_result=replace(result, notes=(note, *result.notes)))
