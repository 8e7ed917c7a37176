"""The command line: options become records, one call is made, its result is rendered, we exit.

Every command imports what it needs when it is called, so that `evalkit --version` costs no more
than Python and typer do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evalkit import __version__
from evalkit.cli.ask import ask
from evalkit.cli.baseline import baseline
from evalkit.cli.calibrate import calibrate
from evalkit.cli.comment import comment
from evalkit.cli.console import emit, say
from evalkit.cli.diff import diff
from evalkit.cli.false_alarms import false_alarms
from evalkit.cli.gate import gate
from evalkit.cli.history import history
from evalkit.cli.init import init
from evalkit.cli.merge import merge
from evalkit.cli.output import exit_with_code
from evalkit.cli.power import power
from evalkit.cli.repair import repair
from evalkit.cli.report import report
from evalkit.cli.review import review
from evalkit.cli.run import run
from evalkit.cli.score import score
from evalkit.cli.show import show
from evalkit.cli.traces import traces
from evalkit.cli.validate import validate


class ExitCodeGroup(TyperGroup):
    """The one place where an exception becomes text and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # click's Context, which typer may carry inside itself
        """Run the command; whatever it raises leaves here as a message on stderr."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("evalkit: interrupted.")
            exit_with_code(130)
        except Exception as error:
            # typer's own exceptions are its way of printing help and usage errors.
            if type(error).__module__.startswith(("typer", "click")):
                raise
            exit_with_code(print_error(error))


def print_error(error: Exception) -> int:
    """Say on stderr what went wrong; returns the exit code for it."""
    from evalkit.cli.errors import describe_error

    message, code = describe_error(error)
    say(message)
    return code


app = typer.Typer(
    name="evalkit",
    cls=ExitCodeGroup,
    help="Did the change make the agent worse? Run labelled prompts, score, compare, gate.",
    epilog="Exit codes: 0 passed, 1 failed, 2 invalid input, 3 could not be decided, 4 approval "
    "needed, 5 nothing selected, 70 a bug in evalkit, 130/143 interrupted.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        emit(f"evalkit {__version__}\n")
        raise typer.Exit


@app.callback()
def _evalkit(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it."),
    ] = False,
) -> None:
    pass


for command in (
    init,
    run,
    baseline,
    gate,
    score,
    ask,
    comment,
    history,
    diff,
    report,
    show,
    review,
    traces,
    power,
    false_alarms,
    calibrate,
    validate,
    merge,
    repair,
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    command: Callable[..., Any] = app
    try:
        command(args=list(arguments) if arguments is not None else None, prog_name="evalkit")
    except OSError as error:  # help that could not be printed
        say(f"evalkit: could not write: {error.strerror}.")
        sys.exit(3)
    except Exception as error:  # raised before a command began
        sys.exit(print_error(error))
