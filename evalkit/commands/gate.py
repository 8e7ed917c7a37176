"""`evalkit gate`: apply the gate to a stored run again, without calling an agent or judge."""

from __future__ import annotations

from evalkit.ci.base import GateChoice
from evalkit.commands.evaluation import evaluate_stored_run
from evalkit.core.context import Context
from evalkit.evalset.project import Project
from evalkit.report.model import Report
from evalkit.store.refs import BaselineChoice


def gate(
    ref: str, baseline_choice: BaselineChoice, gate_choice: GateChoice | None, context: Context
) -> Report:
    """Apply to a stored run the gate that its set has today, or has at the base.

    Raises:
        InvalidInput: no such run or base, or the eval set is broken.
        StoreError: the run or its baseline cannot be read.
    """
    return evaluate_stored_run(ref, baseline_choice, gate_choice, Project.open(context), context)
