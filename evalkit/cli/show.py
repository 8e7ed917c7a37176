"""evalkit show: print a stored run, or one case of it."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ReportOptions, ResultOptions
from evalkit.cli.options import PrintFormat, RunArgument
from evalkit.cli.output import print_report, print_result


def show(
    ref: RunArgument,
    result: ResultOptions,
    case: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="Id of the case to show in full.")
    ] = None,
    flaky: Annotated[
        bool,
        typer.Option("--flaky", help="Show how often each case passes, here and in other runs."),
    ] = False,
) -> None:
    """Show a stored run, or one case of it."""
    from evalkit.commands import show as command
    from evalkit.report.case import case_json, case_text

    context = create_context()
    if flaky:
        show_flaky(ref, case, result)
    elif case is not None:
        print_result(command.show_case(ref, case, context), result, case_json, case_text)
    else:
        options = ReportOptions(
            format=PrintFormat(result.format), output=result.output, verbose=True
        )
        print_report(command.show_run(ref, context), options)


def show_flaky(ref: str, case: str | None, result: ResultOptions) -> None:
    """Print how often each case of a run passes."""
    from evalkit.commands.flaky import compute_flakiness
    from evalkit.core.errors import InvalidInput
    from evalkit.report.flaky import flaky_json, flaky_text

    if case is not None:
        raise InvalidInput.single(f"--flaky shows all cases. Leave out {case!r}, or --flaky.")
    print_result(compute_flakiness(ref, create_context()), result, flaky_json, flaky_text)
