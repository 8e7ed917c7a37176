"""evalkit gate: apply the gate to stored runs again."""

from __future__ import annotations

from functools import partial

from evalkit.cli.option_groups import BaselineOptions, ReportFiles, ReportOptions
from evalkit.cli.options import RunsArgument
from evalkit.cli.output import (
    create_report_context,
    deliver_and_exit,
    deliver_batch_and_exit,
    refuse_conflicting_options,
)


def gate(
    refs: RunsArgument, comparison: BaselineOptions, printed: ReportOptions, files: ReportFiles
) -> None:
    """Apply the gate to stored runs again.

    Call neither the agent nor a judge. With several runs, print one summary, and exit with the worst code.
    """
    from evalkit.commands.gate import gate as command
    from evalkit.commands.named_runs import find_named_runs

    context = create_report_context(printed, files)
    baseline_choice, gate_choice = comparison.choose_baseline(), comparison.choose_gate()
    entries = find_named_runs(refs, context)
    if len(entries) == 1 and entries[0].has_run:
        report = command(entries[0].run_id, baseline_choice, gate_choice, context)
        deliver_and_exit(report, printed, files)
    from evalkit.cli.errors import describe_error
    from evalkit.commands.batch import collect_runs

    refuse_conflicting_options(
        ("--baseline names a run of one set; name one run", comparison.baseline is not None)
    )
    decide = partial(
        command, baseline_choice=baseline_choice, gate_choice=gate_choice, context=context
    )
    deliver_batch_and_exit(collect_runs(entries, decide, describe_error, context), printed, files)
