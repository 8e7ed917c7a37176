"""evalkit diff: compare two runs, versions or baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    CaseIdsOption,
    Format,
    FormatOption,
    HtmlOption,
    MarkdownOption,
    RunArgument,
)
from evalkit.cli.output import (
    check_report_paths,
)

if TYPE_CHECKING:
    from evalkit.report.model import Diff, VersionMatrix


def diff(
    base: RunArgument,
    candidate: RunArgument,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help="More of them: versions become columns."),
    ] = None,
    case: CaseIdsOption = [],  # noqa: B006
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            metavar="TAG",
            help="Metrics by this tag (default: by all for two, by none for more).",
        ),
    ] = [],  # noqa: B006
    format: FormatOption = Format.table,  # noqa: A002
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
) -> None:
    """Show what changed between runs, or between versions with all their runs."""
    from evalkit.commands.diff import diff as compare_runs
    from evalkit.report.model import Diff

    check_report_paths(markdown, html)
    found = compare_runs(
        (base, candidate, *(more or ())), tuple(case), tuple(tag), create_context()
    )
    if isinstance(found, Diff):
        print_diff(found, format, markdown, html)
    else:
        print_matrix(found, format, markdown, html)


def print_diff(
    found: Diff,
    format: Format,  # noqa: A002
    markdown: Path | None,
    html: Path | None,
) -> None:
    """Print and write two runs side by side."""
    from evalkit.core.files import write_atomically
    from evalkit.report.diff import diff_json, diff_markdown, diff_text

    if markdown:
        write_atomically(markdown, diff_markdown(found))
    if html:
        from evalkit.report.html.diff import render_diff

        write_atomically(html, render_diff(found))
    emit(diff_json(found) if format is Format.json else diff_text(found, detect_screen()))


def print_matrix(
    found: VersionMatrix,
    format: Format,  # noqa: A002
    markdown: Path | None,
    html: Path | None,
) -> None:
    """Print and write several versions side by side."""
    from evalkit.core.files import write_atomically
    from evalkit.report.matrix import matrix_json, matrix_markdown, matrix_text

    if markdown:
        write_atomically(markdown, matrix_markdown(found))
    if html:
        from evalkit.report.html.diff import render_matrix

        write_atomically(html, render_matrix(found))
    emit(matrix_json(found) if format is Format.json else matrix_text(found, detect_screen()))
