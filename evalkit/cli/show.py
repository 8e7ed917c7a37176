"""The commands that look at what is there and run nothing: show, diff, validate, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    Format,
    FormatOption,
    ReportFormat,
    RunArgument,
)
from evalkit.cli.output import (
    print_report,
)

if TYPE_CHECKING:
    from evalkit.core.context import Context


def show(
    ref: RunArgument,
    case: Annotated[str | None, typer.Argument(metavar="[CASE]", help="One case's id.")] = None,
    flaky: Annotated[
        bool, typer.Option("--flaky", help="How steadily its cases pass, here and in other runs.")
    ] = False,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Show a stored run, or one case of it."""
    from evalkit.commands import show as command
    from evalkit.report.case import case_json, case_text

    world = create_context()
    if flaky:
        show_flaky(ref, case, world, format)
        return
    if case is None:
        print_report(command.show_run(ref, world), ReportFormat(format.value), rows=None)
        return
    shown = command.show_case(ref, case, world)
    as_text = case_json(shown) if format is Format.json else case_text(shown, detect_screen())
    emit(as_text)


def show_flaky(ref: str, case: str | None, world: Context, format: Format) -> None:  # noqa: A002
    """Print how steadily the cases of a run pass."""
    from evalkit.commands.flaky import compute_flakiness
    from evalkit.core.errors import InvalidInput
    from evalkit.report.flaky import flaky_json, flaky_text

    if case is not None:
        raise InvalidInput.single(f"--flaky shows all cases. Leave out {case!r}, or --flaky.")
    found = compute_flakiness(ref, world)
    emit(flaky_json(found) if format is Format.json else flaky_text(found, detect_screen()))
