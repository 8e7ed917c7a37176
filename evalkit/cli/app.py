"""Find the command, call it with its options, and turn errors into exit codes.

A command is imported when it is called, so that `evalkit --version` loads only Python and typer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from evalkit import __version__
from evalkit.cli.console import emit, say
from evalkit.cli.help_panels import collect_panels, write_panels

COMMANDS = {
    "Run": ("init", "validate", "run", "baseline", "ask", "score"),
    "Inspect": ("view", "runs", "show", "diff", "history", "bisect", "traces", "report", "repair"),
    "Judge": ("review", "calibrate"),
    "Gate": ("gate", "power", "false-alarms"),
    "CI": ("doctor", "base", "merge", "comment"),
    "Production": ("traffic",),
    "Reference": ("help", "schema"),
}
"""The commands by panel of `--help`. Each is a function in the module of the same name."""

MAX_SETS_LISTED = 8
"""Eval sets to list for a user who has named none."""
SUBCOMMANDS = {
    "traffic": ("import", "report", "list", "gate", "sample", "estimate", "weigh", "validate")
}
"""The commands that have further commands. `traffic import` is the function `traffic_import`."""

COMMAND_NAMES = tuple(name for names in COMMANDS.values() for name in names)

SETTINGS: dict[str, Any] = {
    "context_settings": {"help_option_names": ["-h", "--help"]},
    # Otherwise, typer loads rich for every help page and usage error.
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}


def load_command(name: str) -> Callable[..., None]:
    """Import the function of a command."""
    word = name.replace("-", "_").replace(" ", "_")
    command: Callable[..., None] = getattr(import_module(f"evalkit.cli.{word}"), word)
    return command


class PanelCommand(TyperCommand):
    """A command that shows its options in panels, and explains options of other tools."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel by panel."""
        write_panels(formatter, collect_panels(self.get_params(ctx), ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; for an option of another tool, print what to use instead."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Depending on its version, typer raises click's class or its own copy of it.
            word = getattr(error, "option_name", "")
            if type(error).__name__ == "MissingParameter":
                suggest_sets(ctx, error)
            if type(error).__name__ != "NoSuchOption":
                raise
            from evalkit.cli.foreign_words import explain_option

            options = {option for param in self.get_params(ctx) for option in param.opts}
            advice = explain_option(ctx.command_path, word, options)
            if advice is None:
                raise
            say(advice)
            raise typer.Exit(2) from error


def suggest_sets(ctx: Any, error: Any) -> None:
    """Print the eval sets below the current folder if the user has named none."""
    if getattr(error.param, "name", "") not in ("evalsets", "evalset"):
        return
    from evalkit.core.near_paths import find_sets_below

    found = [str(path) for path in find_sets_below(MAX_SETS_LISTED + 1)]
    if found:
        more = ", ..." if len(found) > MAX_SETS_LISTED else ""
        say(f"Eval sets here: {', '.join(found[:MAX_SETS_LISTED])}{more}")
    if len(found) > 1 and error.param.name == "evalsets":
        folder = os.path.commonpath([str(Path(path).parent) for path in found])
        say(f"All of them: {ctx.command_path} {folder or '.'}")


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called."""

    prefix = ""
    """What the names of its commands begin with for `load_command`."""

    @property
    def panels(self) -> dict[str, tuple[str, ...]]:
        """The names of the commands by panel of the help."""
        return COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return [name for names in self.panels.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command for click, built from its function."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = f"{self.prefix}{cmd_name}"
        # typer has no public function for this, so build an app with a single command.
        if name in SUBCOMMANDS:
            group = typer.Typer(name=name, cls=SubcommandGroup, add_completion=False, **SETTINGS)
            group.callback()(load_command(name))
            return typer.main.get_command(group)
        from evalkit.cli.option_groups import expand_groups

        single = typer.Typer(add_completion=False, **SETTINGS)
        single.command(cmd_name, cls=PanelCommand)(expand_groups(load_command(name)))
        return typer.main.get_command(single)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments before the command; without any, print the help."""
        # typer's `no_args_is_help` prints the same, but exits with 2 like an error.
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for an unknown name, print what to type instead."""
        name = args[0]
        names = self.list_commands(ctx)
        # Shell completion sets `resilient_parsing`, and must print only completions.
        if name in names or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from evalkit.cli.foreign_words import explain_command

        say(f"{ctx.command_path}: {explain_command(name, names, ctx.command_path)}")
        raise typer.Exit(2)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands panel by panel, then the options of the group itself."""
        commands = {
            title: [(name, summarize_command(f"{self.prefix}{name}")) for name in names]
            for title, names in self.panels.items()
        }
        write_panels(formatter, commands | collect_panels(self.get_params(ctx), ctx))


class SubcommandGroup(LazyGroup):
    """The commands of one command, such as those of `evalkit traffic`."""

    @property
    def prefix(self) -> str:  # type: ignore[override]
        """The name of the command, with a space."""
        return f"{self.name} "

    @property
    def panels(self) -> dict[str, tuple[str, ...]]:
        """The names of the commands in one panel."""
        return {"Commands": SUBCOMMANDS[str(self.name)]}


class CommandGroup(LazyGroup):
    """The group of all commands; it turns every exception into an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print an exception to stderr and exit with its code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("evalkit: interrupted.")
            raise typer.Exit(130) from None
        except Exception as error:
            # typer prints help and usage errors by raising its own exceptions.
            if type(error).__module__.startswith(("typer", "click")):
                raise
            raise typer.Exit(print_error(error)) from error


def summarize_command(name: str) -> str:
    """Return the first line of a command's docstring."""
    return (load_command(name).__doc__ or "").partition("\n")[0].rstrip(".")


def print_error(error: Exception) -> int:
    """Print an error to stderr and return its exit code."""
    from evalkit.cli.errors import describe_error

    message, code = describe_error(error)
    say(message)
    return code


app = typer.Typer(
    name="evalkit",
    cls=CommandGroup,
    help="Find out whether a change made an AI agent worse: run labeled prompts, score the answers, "
    "compare with a baseline, and gate.",
    epilog="Exit codes: 0 passed, 1 failed, 2 invalid input, 3 could not be decided, 4 approval "
    "needed, 5 nothing selected, 70 a bug in evalkit, 130 or 143 interrupted.",
    **SETTINGS,
)


def print_version(wanted: bool) -> None:
    """Print the version, and a warning if the installation is damaged."""
    if wanted:
        from evalkit.cli.distribution import DISTRIBUTION, find_conflict

        emit(f"evalkit {__version__} ({DISTRIBUTION})\n")
        conflict = find_conflict()
        if conflict:
            say(f"evalkit: {conflict}")
        raise typer.Exit


@app.callback()
def evalkit(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", is_eager=True, callback=print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Declare the options of evalkit itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script."""
    command: Callable[..., Any] = app
    try:
        command(args=list(arguments) if arguments is not None else None, prog_name="evalkit")
    except OSError as error:  # help that could not be printed
        say(f"evalkit: could not write: {error.strerror}.")
        sys.exit(3)
    except Exception as error:  # raised before a command began
        sys.exit(print_error(error))
