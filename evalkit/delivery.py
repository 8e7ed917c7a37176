"""A command's result: printed, written where it was asked for, and turned into the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from evalkit.console import emit, is_step_summary, real_screen
from evalkit.options import ReportFormat, Targets

if TYPE_CHECKING:
    from evalkit.reports.report import Report


def refuse_unlike(*mistakes: tuple[str, bool]) -> None:
    """Refuse options that say nothing or contradict each other, all of them at once."""
    from evalkit.errors import InvalidInput
    from evalkit.records import Problem

    problems = [Problem(message=f"{message}.") for message, made in mistakes if made]
    if problems:
        raise InvalidInput(problems)


RENDERERS = {
    "junit": "evalkit.reports.junit:render_junit",
    "markdown": "evalkit.reports.markdown:render_markdown",
    "html": "evalkit.reports.html.report:render_html",
    "csv": "evalkit.reports.csv:render_csv",
    "ctrf": "evalkit.reports.ctrf:render_ctrf",
}
"""What writes each of the targets, imported when one is asked for."""


def check_targets(*paths: Path | None) -> None:
    """Refuse a place that no report can be written to, before anything is spent."""
    from evalkit.errors import InvalidInput
    from evalkit.records import Problem

    folders = [path for path in paths if path is not None and path.is_dir()]
    if folders:
        raise InvalidInput(
            [Problem(message=f"{path} is a folder. Name a file to write.") for path in folders]
        )


def deliver(
    report: Report,
    format: ReportFormat,  # noqa: A002
    targets: Targets,
) -> NoReturn:
    """Write the files that were asked for, print the result, exit with the verdict's code."""
    print_report(report, format)
    write_reports(report, targets)
    leave(report.verdict.exit_code)


def write_reports(report: Report, targets: Targets) -> None:
    """Write the files that were asked for."""
    for name, path in targets._asdict().items():
        if path is not None:
            write_report(report, name, path)


def write_report(report: Report, name: str, path: Path) -> None:
    """Write one kind of report; to the summary of a workflow's step it is added."""
    from importlib import import_module

    from evalkit.files import write_whole

    module, _, function = RENDERERS[name].partition(":")
    text: str = getattr(import_module(module), function)(report)
    if is_step_summary(path):
        with path.open("a") as stream:  # other commands of the step write there too
            stream.write(text)
    else:
        write_whole(path, text)


def print_report(
    report: Report,
    format: ReportFormat,  # noqa: A002
    rows: int | None = 20,
) -> None:
    """Print a report on stdout, with at most so many rows a section."""
    from evalkit.reports.github import render_github
    from evalkit.reports.json import render_json
    from evalkit.reports.terminal import render_terminal

    if format is ReportFormat.json:
        emit(render_json(report))
        return
    emit(render_terminal(report, real_screen(), rows=rows))
    if format is ReportFormat.github:
        emit(render_github(report))


def leave(code: int) -> NoReturn:
    """End the process with an exit code."""
    raise typer.Exit(code)
