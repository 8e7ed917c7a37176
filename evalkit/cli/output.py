"""A command's result: printed, written where it was asked for, and turned into the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from evalkit.cli.console import detect_screen, emit, is_step_summary
from evalkit.cli.options import ReportFormat, ReportPaths
from evalkit.report.registry import FILE_FORMATS

if TYPE_CHECKING:
    from evalkit.report.model import Report


def refuse_conflicting_options(*mistakes: tuple[str, bool]) -> None:
    """Refuse options that say nothing or contradict each other, all of them at once."""
    from evalkit.core.errors import InvalidInput
    from evalkit.core.location import Problem

    problems = [Problem(message=f"{message}.") for message, made in mistakes if made]
    if problems:
        raise InvalidInput(problems)


def check_report_paths(*paths: Path | None) -> None:
    """Refuse a place that no report can be written to, before anything is spent."""
    from evalkit.core.errors import InvalidInput
    from evalkit.core.location import Problem

    folders = [path for path in paths if path is not None and path.is_dir()]
    if folders:
        raise InvalidInput(
            [Problem(message=f"{path} is a folder. Name a file to write.") for path in folders]
        )


def deliver_and_exit(
    report: Report,
    format: ReportFormat,  # noqa: A002
    targets: ReportPaths,
) -> NoReturn:
    """Write the files that were asked for, print the result, exit with the verdict's code."""
    print_report(report, format)
    write_reports(report, targets)
    exit_with_code(report.gate_result.exit_code)


def write_reports(report: Report, targets: ReportPaths) -> None:
    """Write the files that were asked for."""
    for name, path in targets._asdict().items():
        if path is not None:
            write_report(report, name, path)


def write_report(report: Report, name: str, path: Path) -> None:
    """Write one kind of report; to the summary of a workflow's step it is added."""
    from evalkit.core.files import write_atomically

    text = FILE_FORMATS[name].load()(report)
    if is_step_summary(path):
        with path.open("a") as stream:  # other commands of the step write there too
            stream.write(text)
    else:
        write_atomically(path, text)


def print_report(
    report: Report,
    format: ReportFormat,  # noqa: A002
    rows: int | None = 20,
) -> None:
    """Print a report on stdout, with at most so many rows a section."""
    from evalkit.report.github import render_github
    from evalkit.report.json import render_json
    from evalkit.report.terminal import render_terminal

    if format is ReportFormat.json:
        emit(render_json(report))
        return
    emit(render_terminal(report, detect_screen(), rows=rows))
    if format is ReportFormat.github:
        emit(render_github(report))


def exit_with_code(code: int) -> NoReturn:
    """End the process with an exit code."""
    raise typer.Exit(code)
