"""evalkit gate: apply the gate to a stored run again."""

from __future__ import annotations

from evalkit.cli.option_groups import BaselineOptions, ReportFiles, ReportOptions
from evalkit.cli.options import RunArgument
from evalkit.cli.output import create_report_context, deliver_and_exit


def gate(
    ref: RunArgument, comparison: BaselineOptions, printed: ReportOptions, files: ReportFiles
) -> None:
    """Apply the gate to a stored run again.

    Call neither the agent nor a judge.
    """
    from evalkit.commands.gate import gate as command

    report = command(
        ref,
        comparison.choose_baseline(),
        comparison.choose_gate(),
        create_report_context(printed, files),
    )
    deliver_and_exit(report, printed, files)
