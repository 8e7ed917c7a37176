"""evalkit diff: compare two runs, versions or baselines."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import CaseIdsOption, RunArgument, VerboseOption, report_file
from evalkit.cli.output import print_result

if TYPE_CHECKING:
    from evalkit.report.model import Diff
    from evalkit.report.version_matrix import VersionMatrix


def diff(
    base: RunArgument,
    candidate: RunArgument,
    result: ResultOptions,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help="More runs: each version becomes a column."),
    ] = None,
    case: CaseIdsOption = [],  # noqa: B006 - typer copies it
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            metavar="TAG",
            help="Also show metrics for this tag (default: every tag for two runs, none for more).",
        ),
    ] = [],  # noqa: B006
    verbose: VerboseOption = False,
    markdown: Annotated[Path | None, report_file("markdown")] = None,
    html: Annotated[Path | None, report_file("html")] = None,
) -> None:
    """Show what changed between runs or versions.

    Two runs are compared case by case. For an agent version, all its runs are pooled.
    """
    from evalkit.commands.diff import diff as command
    from evalkit.report.model import Diff

    found = command((base, candidate, *(more or ())), tuple(case), tuple(tag), create_context())
    # Two runs or versions make a diff, more make a matrix.
    if isinstance(found, Diff):
        print_diff(found, result, markdown, html, verbose=verbose)
    else:
        print_matrix(found, result, markdown, html, verbose=verbose)


def print_diff(
    found: Diff,
    result: ResultOptions,
    markdown: Path | None,
    html: Path | None,
    *,
    verbose: bool,
) -> None:
    """Print the comparison of two runs, and write its files."""
    from evalkit.core.files import write_atomically
    from evalkit.report.diff import diff_json, diff_markdown
    from evalkit.report.diff_text import diff_text

    if markdown:
        write_atomically(markdown, diff_markdown(found))
    if html:
        from evalkit.report.html.diff import render_diff

        write_atomically(html, render_diff(found))
    print_result(found, result, diff_json, partial(diff_text, verbose=verbose))


def print_matrix(
    found: VersionMatrix,
    result: ResultOptions,
    markdown: Path | None,
    html: Path | None,
    *,
    verbose: bool,
) -> None:
    """Print the comparison of several versions, and write its files."""
    from evalkit.core.files import write_atomically
    from evalkit.report.matrix import matrix_json, matrix_markdown
    from evalkit.report.matrix_text import matrix_text

    if markdown:
        write_atomically(markdown, matrix_markdown(found))
    if html:
        from evalkit.report.html.diff import render_matrix

        write_atomically(html, render_matrix(found))
    print_result(found, result, matrix_json, partial(matrix_text, verbose=verbose))
