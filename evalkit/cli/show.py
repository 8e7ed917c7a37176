"""evalkit show: print a stored run, or one case of it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ReportOptions, ResultOptions
from evalkit.cli.options import PrintFormat, RunArgument, VerboseOption
from evalkit.cli.output import print_batch, print_report, print_result, refuse_conflicting_options


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
    suspect_labels: Annotated[
        bool,
        typer.Option("--suspect-labels", help="Show the cases whose label is probably wrong."),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Show a stored run, or one case of it."""
    from evalkit.commands import show as command
    from evalkit.commands.batch import collect_reports
    from evalkit.commands.named_runs import find_named_runs
    from evalkit.report.case import case_json, case_text

    context = create_context()
    refuse_conflicting_options(
        ("--flaky and --suspect-labels exclude each other", flaky and suspect_labels),
    )
    if flaky:
        show_flaky(ref, case, result)
    elif suspect_labels:
        show_suspect_labels(ref, case, result)
    elif case is not None:
        print_result(
            command.show_case(ref, case, context),
            result,
            case_json,
            partial(case_text, verbose=verbose),
        )
    else:
        options = ReportOptions(
            format=PrintFormat(result.format), output=result.output, verbose=verbose
        )
        entries = find_named_runs([ref], context)
        if len(entries) == 1 and entries[0].has_run:
            print_report(command.show_run(entries[0].run_id, context), options)
        else:
            print_batch(
                collect_reports(entries, partial(command.show_run, context=context)), options
            )


def show_flaky(ref: str, case: str | None, result: ResultOptions) -> None:
    """Print how often each case of a run passes."""
    from evalkit.commands.flaky import compute_flakiness
    from evalkit.core.errors import InvalidInput
    from evalkit.report.flaky import flaky_json, flaky_text

    if case is not None:
        raise InvalidInput.single(f"--flaky shows all cases. Leave out {case!r}, or --flaky.")
    print_result(compute_flakiness(ref, create_context()), result, flaky_json, flaky_text)


def show_suspect_labels(ref: str, case: str | None, result: ResultOptions) -> None:
    """Print the cases of a run whose label is probably wrong."""
    from evalkit.commands.suspect_labels import find_suspect_labels
    from evalkit.core.errors import InvalidInput
    from evalkit.report.suspect_labels import suspect_labels_json, suspect_labels_text

    if case is not None:
        raise InvalidInput.single(
            f"--suspect-labels shows all cases. Leave out {case!r}, or --suspect-labels."
        )
    found = find_suspect_labels(ref, create_context())
    print_result(found, result, suspect_labels_json, suspect_labels_text)
