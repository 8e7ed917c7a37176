"""A command's result: printed, written where it was asked for, and turned into the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from evalkit.console import emit, is_step_summary, real_screen
from evalkit.options import Format

if TYPE_CHECKING:
    from evalkit.reports.report import Report


def refuse_unlike(*mistakes: tuple[str, bool]) -> None:
    """Refuse options that say nothing or contradict each other, all of them at once."""
    from evalkit.errors import InvalidInput
    from evalkit.records import Problem

    problems = [Problem(message=f"{message}.") for message, made in mistakes if made]
    if problems:
        raise InvalidInput(problems)


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
    format: Format,  # noqa: A002
    junit: Path | None,
    markdown: Path | None,
) -> NoReturn:
    """Write the files that were asked for, print the result, exit with the verdict's code."""
    from evalkit.files import write_whole
    from evalkit.reports.junit import render_junit
    from evalkit.reports.markdown import render_markdown

    print_report(report, format)
    if junit:
        write_whole(junit, render_junit(report))
    if markdown and is_step_summary(markdown):
        with markdown.open("a") as stream:  # other commands of the step write there too
            stream.write(render_markdown(report))
    elif markdown:
        write_whole(markdown, render_markdown(report))
    leave(report.verdict.exit_code)


def print_report(report: Report, format: Format, rows: int | None = 20) -> None:  # noqa: A002
    """Print a report on stdout, with at most so many rows a section."""
    from evalkit.reports.json import render_json
    from evalkit.reports.terminal import render_terminal

    if format is Format.json:
        emit(render_json(report))
    else:
        emit(render_terminal(report, real_screen(), rows=rows))


def leave(code: int) -> NoReturn:
    """End the process with an exit code."""
    raise typer.Exit(code)
