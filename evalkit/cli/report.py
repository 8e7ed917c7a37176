"""evalkit report: write the reports of a stored run."""

from __future__ import annotations

from pathlib import Path

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.option_groups import ReportFiles
from evalkit.cli.options import BaselineOption, RunArgument
from evalkit.cli.output import refuse_shared_files, write_report_files

DEFAULT_REPORT = ReportFiles(html=Path("evalkit-report.html"))


def report(ref: RunArgument, files: ReportFiles, baseline: BaselineOption = None) -> None:
    """Write the reports of a stored run.

    Without an option, write an HTML report to evalkit-report.html.
    """
    from evalkit.commands.show import show_run
    from evalkit.report.terminal import written_reports_text

    files = files or DEFAULT_REPORT
    refuse_shared_files(files.values())
    shown = show_run(ref, create_context(), baseline)
    write_report_files(shown, files)
    emit(written_reports_text(shown, list(files.values()), detect_screen()))
