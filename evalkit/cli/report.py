"""evalkit report: write the reports of a stored run."""

from __future__ import annotations

from pathlib import Path

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    BaselineOption,
    CsvOption,
    CtrfOption,
    HtmlOption,
    JunitOption,
    MarkdownOption,
    ReportPaths,
    RunArgument,
)
from evalkit.cli.output import (
    check_report_paths,
    refuse_conflicting_options,
    write_reports,
)

DEFAULT_REPORT_PATH = Path("evalkit-report.html")


def report(
    ref: RunArgument,
    baseline: BaselineOption = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    csv: CsvOption = None,
    ctrf: CtrfOption = None,
) -> None:
    """Write a stored run's reports (default: evalkit-report.html), deciding nothing."""
    from evalkit.commands.show import show_run
    from evalkit.report.terminal import written_reports_text

    refuse_conflicting_options(("--baseline is empty", baseline == ""))
    targets = ReportPaths(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    if not any(targets):
        targets = targets._replace(html=DEFAULT_REPORT_PATH)
    check_report_paths(*targets)
    shown = show_run(ref, create_context(), baseline)
    write_reports(shown, targets)
    emit(written_reports_text(shown, list(filter(None, targets)), detect_screen()))
