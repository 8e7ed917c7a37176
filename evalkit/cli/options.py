"""Declare each option that several commands share."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from evalkit.cli.completion import complete_evalset, complete_run
from evalkit.report.registry import FILE_FORMATS


class Format(StrEnum):
    """The output formats of a result."""

    table = "table"
    json = "json"


class PrintFormat(StrEnum):
    """The output formats of a report."""

    table = "table"
    json = "json"
    github = "github"


class TableFormat(StrEnum):
    """The output formats of a list of runs."""

    table = "table"
    json = "json"
    csv = "csv"


class InconclusivePolicy(StrEnum):
    """The effect of an inconclusive threshold."""

    passing = "pass"
    failing = "fail"


class DriftPolicy(StrEnum):
    """The effect of a judge model that differs from the baseline's."""

    warn = "warn"
    fail = "fail"


def parse_trials(given: str | None) -> int | Literal["auto"] | None:
    """Return a number of trials, or `auto`.

    Raises:
        typer.BadParameter: the value is neither.
    """
    if given is None:
        return None
    if given == "auto":
        return "auto"
    # `int` also accepts non-ASCII digits, spaces, and underscores.
    if not (given.isascii() and given.isdigit() and int(given) >= 1):
        raise typer.BadParameter(
            f"{given!r} is neither 'auto' nor a whole number of at least 1.",
            param_hint="'--trials'",
        )
    return int(given)


def parse_duration(given: str | None) -> float | None:
    """Return the seconds in `2s`, `200ms`, or a bare number.

    Raises:
        typer.BadParameter: the value is not a duration.
    """
    if given is None:
        return None
    text = given.strip().lower()
    factor = 0.001 if text.endswith("ms") else 1.0
    try:
        seconds = float(text.removesuffix("ms").removesuffix("s")) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise typer.BadParameter(f"{given!r} is not a duration such as 2s or 200ms.")
    return seconds


def require_text(given: str | None) -> str | None:
    """Refuse an empty value, which an unset shell variable leaves."""
    if given is not None and not given.strip():
        raise typer.BadParameter("the value is empty. Set it, or leave out the option.")
    return given


def require_amount(given: float | None) -> float | None:
    """Refuse an amount of money that is no positive, finite number."""
    if given is not None and not 0 < given < float("inf"):
        raise typer.BadParameter("give an amount above 0.")
    return given


def require_file_name(given: Path | None) -> Path | None:
    """Refuse a folder or `-` as an output file, before any work is done."""
    if given == Path("-"):
        raise typer.BadParameter(
            "'-' does not mean stdout here. Name a file; for one called '-', write ./-."
        )
    if given is not None and given.is_dir():
        raise typer.BadParameter(f"{given} is a folder. Name a file to write.")
    return given


# Each puts its options in one panel of `--help`.
selection_option = partial(typer.Option, rich_help_panel="Selection")
trials_option = partial(typer.Option, rich_help_panel="Trials")
agent_option = partial(typer.Option, rich_help_panel="Agent", callback=require_text)
comparison_option = partial(typer.Option, rich_help_panel="Comparison")
resume_option = partial(typer.Option, rich_help_panel="Resume")
execution_option = partial(typer.Option, rich_help_panel="Execution")
output_option = partial(typer.Option, rich_help_panel="Output")
output_file = partial(output_option, metavar="FILE", callback=require_file_name)


def report_file(format_name: str) -> typer.models.OptionInfo:
    """Return the option that writes one of the registered report formats to a file."""
    row = FILE_FORMATS[format_name]
    option: typer.models.OptionInfo = output_file(
        f"--{row.name}", help=f"Also write {row.description}."
    )
    return option


EvalSetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="EVALSET", help="The eval set, a YAML file.", autocompletion=complete_evalset
    ),
]
EvalSetsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="EVALSET...",
        autocompletion=complete_evalset,
        help="Eval sets, YAML files; a folder counts with every set in it.",
    ),
]
_RUN_NAMES = "its id or a unique prefix, a path, 'latest', 'baseline', an agent version, or a set."
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", autocompletion=complete_run, help=f"A run: {_RUN_NAMES}"),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...", autocompletion=complete_run, help=f"Runs, each by {_RUN_NAMES}"
    ),
]
CaseIdsOption = Annotated[
    list[str], selection_option("--case", metavar="ID", help="Only the case with this id.")
]
FixedTrialsOption = Annotated[
    int | None, trials_option("--trials", min=1, help="Number of trials per case.")
]
ConcurrencyOption = Annotated[
    int | None,
    trials_option(min=1, max=1000, help="Maximum number of concurrent agent calls."),
]
MaxErrorsOption = Annotated[
    int | None,
    trials_option(min=0, help="Number of trials that may end without a score (default 0)."),
]
MaxCostOption = Annotated[
    float | None,
    trials_option(
        "--max-cost-usd",
        metavar="USD",
        callback=require_amount,
        help="What agents and judges may cost together, in USD (default: no limit).",
    ),
]
BudgetUsdOption = Annotated[
    float | None,
    trials_option(
        "--budget-usd",
        metavar="USD",
        callback=require_amount,
        help="Allot the trials that this amount buys, and say which drop they detect.",
    ),
]
BudgetTrialsOption = Annotated[
    int | None,
    trials_option(
        "--budget-trials",
        metavar="N",
        min=1,
        help="Allot at most this many trials to the cases, and say which drop they detect.",
    ),
]
SeedOption = Annotated[int | None, trials_option(help="Seed that agents receive (default 0).")]
RunIdOption = Annotated[
    str | None,
    resume_option(metavar="ID", help="Id of the new run; with --resume, of the run to continue."),
]
FormatOption = Annotated[Format, output_option("--format", help="Format of the result.")]
OutputOption = Annotated[
    Path | None,
    output_file("-o", "--output", help="Write the result to a file instead of stdout."),
]
VerboseOption = Annotated[
    bool, output_option("-v", "--verbose", help="Print everything, not only what fits one screen.")
]
BaseOption = Annotated[
    str | None,
    comparison_option(
        "--base",
        metavar="REF",
        help="Take the gate from the merge base with REF (default in a pull request: its target "
        "branch).",
    ),
]
RequireBaseOption = Annotated[
    bool,
    comparison_option(
        "--require-base", help="Exit 2 if the gate would come from this checkout itself."
    ),
]
BaselineOption = Annotated[
    str | None,
    comparison_option(
        "--baseline",
        metavar="RUN",
        callback=require_text,
        autocompletion=complete_run,
        help="Compare with this run instead of the baseline.",
    ),
]
