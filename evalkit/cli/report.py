"""evalkit report: write the reports of stored runs."""

from __future__ import annotations

from pathlib import Path

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.option_groups import ReportFiles
from evalkit.cli.options import BaselineOption, RunsArgument
from evalkit.cli.output import (
    refuse_conflicting_options,
    refuse_shared_files,
    write_batch_files,
    write_report_files,
)

DEFAULT_REPORT = ReportFiles(html=Path("evalkit-report.html"))


def report(refs: RunsArgument, files: ReportFiles, baseline: BaselineOption = None) -> None:
    """Write the reports of stored runs.

    Without an option, write an HTML report to evalkit-report.html. With several runs, each file has all.
    """
    from evalkit.commands.named_runs import find_named_runs
    from evalkit.commands.show import show_run
    from evalkit.report.terminal import written_reports_text

    files = files or DEFAULT_REPORT
    refuse_shared_files(files.values())
    context = create_context()
    paths = list(files.values())
    entries = find_named_runs(refs, context)
    if len(entries) == 1 and entries[0].has_run:
        shown = show_run(entries[0].run_id, context, baseline)
        write_report_files(shown, files)
        emit(written_reports_text(shown, paths, detect_screen()))
        return
    from evalkit.commands.batch import collect_reports
    from evalkit.report.batch_terminal import written_batch_text

    refuse_conflicting_options(
        ("--baseline names a run of one set; name one run", baseline is not None)
    )
    batch = collect_reports(entries, lambda ref: show_run(ref, context))
    write_batch_files(batch, files)
    emit(written_batch_text(batch, paths, detect_screen()))
