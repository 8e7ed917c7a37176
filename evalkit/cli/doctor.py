"""evalkit doctor: check whether everything that evalkit needs is in place."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit import __version__
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.output import print_result

if TYPE_CHECKING:
    from evalkit.commands.place_checks import Installation


def doctor(
    result: ResultOptions,
    evalset: Annotated[
        Path | None,
        typer.Argument(metavar="EVALSET", help="Also check this set, or a folder of sets."),
    ] = None,
    ask_judge: Annotated[
        bool,
        typer.Option("--judge", help="Ask the judge of evalkit.yaml one question; it may cost."),
    ] = False,
) -> None:
    """Check Python, git, CI, the store, and the judge.

    The exit code is 0 if no check failed, and 2 otherwise. With EVALSET, each judge of the set is asked one
    question, which may cost money.
    """
    from evalkit.commands.doctor import doctor as command
    from evalkit.core.errors import InvalidInput
    from evalkit.report.doctor import diagnosis_json, diagnosis_text

    context = create_context(quiet=True)
    diagnosis = command(evalset, _describe_installation(), context, ask_judge=ask_judge)
    print_result(diagnosis, result, diagnosis_json, diagnosis_text)
    if diagnosis.status == "fail":
        raise typer.Exit(InvalidInput.exit_code)


def _describe_installation() -> Installation:
    from evalkit.cli.distribution import find_conflict
    from evalkit.commands.place_checks import Installation

    own = Path(sys.executable).parent / "evalkit"
    first = shutil.which("evalkit")
    is_other = first is not None and own.exists() and not own.samefile(first)
    return Installation(
        evalkit_version=__version__,
        python_version=platform.python_version(),
        program=sys.executable,
        conflict=find_conflict() or "",
        other_program=str(first) if is_other else "",
        encodings={"output": sys.stdout.encoding, "file names": sys.getfilesystemencoding()},
    )
