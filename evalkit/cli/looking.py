"""The commands that look at what is there and run nothing: show, diff, validate, repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.delivery import check_targets, print_report, refuse_unlike, write_reports
from evalkit.options import (
    Against,
    CaseIds,
    CsvFile,
    CtrfFile,
    Format,
    HtmlFile,
    JunitFile,
    MarkdownFile,
    OutputFormat,
    ReportFormat,
    RunRef,
    Targets,
)

if TYPE_CHECKING:
    from evalkit.reports.report import Diff, VersionMatrix
    from evalkit.world import World


def diff(
    base: RunRef,
    candidate: RunRef,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help="More of them: versions become columns."),
    ] = None,
    case: CaseIds = [],  # noqa: B006
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            metavar="TAG",
            help="Metrics by this tag (default: by all for two, by none for more).",
        ),
    ] = [],  # noqa: B006
    format: OutputFormat = Format.table,  # noqa: A002
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
) -> None:
    """Show what changed between runs, or between versions with all their runs."""
    from evalkit.commands.diff import diff as compare_runs
    from evalkit.reports.report import Diff

    check_targets(markdown, html)
    found = compare_runs((base, candidate, *(more or ())), tuple(case), tuple(tag), real_world())
    if isinstance(found, Diff):
        tell_diff(found, format, markdown, html)
    else:
        tell_matrix(found, format, markdown, html)


def tell_diff(
    found: Diff,
    format: Format,  # noqa: A002
    markdown: Path | None,
    html: Path | None,
) -> None:
    """Print and write two runs side by side."""
    from evalkit.files import write_whole
    from evalkit.reports.diffs import diff_json, diff_markdown, diff_text

    if markdown:
        write_whole(markdown, diff_markdown(found))
    if html:
        from evalkit.reports.html.diffs import render_diff

        write_whole(html, render_diff(found))
    emit(diff_json(found) if format is Format.json else diff_text(found, real_screen()))


def tell_matrix(
    found: VersionMatrix,
    format: Format,  # noqa: A002
    markdown: Path | None,
    html: Path | None,
) -> None:
    """Print and write several versions side by side."""
    from evalkit.files import write_whole
    from evalkit.reports.matrix import matrix_json, matrix_markdown, matrix_text

    if markdown:
        write_whole(markdown, matrix_markdown(found))
    if html:
        from evalkit.reports.html.diffs import render_matrix

        write_whole(html, render_matrix(found))
    emit(matrix_json(found) if format is Format.json else matrix_text(found, real_screen()))


DEFAULT_PAGE = Path("evalkit-report.html")


def report(
    ref: RunRef,
    baseline: Against = None,
    html: HtmlFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    csv: CsvFile = None,
    ctrf: CtrfFile = None,
) -> None:
    """Write a stored run's reports (default: evalkit-report.html), deciding nothing."""
    from evalkit.commands.show import show_run
    from evalkit.reports.terminal import written_text

    refuse_unlike(("--baseline is empty", baseline == ""))
    targets = Targets(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    if not any(targets):
        targets = targets._replace(html=DEFAULT_PAGE)
    check_targets(*targets)
    shown = show_run(ref, real_world(), baseline)
    write_reports(shown, targets)
    emit(written_text(shown, list(filter(None, targets)), real_screen()))


def show(
    ref: RunRef,
    case: Annotated[str | None, typer.Argument(metavar="[CASE]", help="One case's id.")] = None,
    flaky: Annotated[
        bool, typer.Option("--flaky", help="How steadily its cases pass, here and in other runs.")
    ] = False,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Show a stored run, or one case of it."""
    from evalkit.commands import show as command
    from evalkit.reports.cases import case_json, case_text

    world = real_world()
    if flaky:
        show_flaky(ref, case, world, format)
        return
    if case is None:
        print_report(command.show_run(ref, world), ReportFormat(format.value), rows=None)
        return
    shown = command.show_case(ref, case, world)
    as_text = case_json(shown) if format is Format.json else case_text(shown, real_screen())
    emit(as_text)


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Eval sets and rubrics.")],
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Check eval sets and rubrics, calling nobody."""
    from evalkit.commands.validate import validate as check_files
    from evalkit.reports.findings import checked_json, checked_text

    sets, rubrics = check_files(files, real_world())
    if format is Format.json:
        emit(checked_json(sets, rubrics))
    else:
        emit(checked_text(sets, rubrics, real_screen()))


def repair(ref: RunRef) -> None:
    """Rescue a stored run with broken lines."""
    from evalkit.commands.repair import repair as drop_broken

    emit(drop_broken(ref, real_world()))


def show_flaky(ref: str, case: str | None, world: World, format: Format) -> None:  # noqa: A002
    """Print how steadily the cases of a run pass."""
    from evalkit.commands.flaky import weigh_flakiness
    from evalkit.errors import InvalidInput
    from evalkit.reports.flaky import flaky_json, flaky_text

    if case is not None:
        raise InvalidInput.single(f"--flaky shows all cases. Leave out {case!r}, or --flaky.")
    found = weigh_flakiness(ref, world)
    emit(flaky_json(found) if format is Format.json else flaky_text(found, real_screen()))
