"""evalkit init: write an eval set, a rubric, and a CI workflow to start with."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import require_text


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The folder to write to.")
    ] = Path(),
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            callback=require_text,
            help="Your agent: ./file.py:function, package.module:function, or http://host/path.",
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Make the cases from a CSV, TSV, JSON, or JSONL file with any column names.",
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Which column is what, as in input=question,expected=answer,tags=topic.",
        ),
    ] = None,
    forks: Annotated[
        bool, typer.Option("--forks", help="Write workflows for pull requests from forks.")
    ] = False,
) -> None:
    """Write a set, a rubric, and a CI workflow to start with."""
    from evalkit.commands.init import InitRequest
    from evalkit.commands.init import init as command
    from evalkit.evalset.question_file import parse_mapping
    from evalkit.report.init import init_text

    if mapping and questions is None:
        raise typer.BadParameter(
            "it names columns of the file that --from names.", param_hint="'--map'"
        )
    request = InitRequest(
        folder=folder,
        agent=agent,
        questions=questions,
        mapping=parse_mapping(mapping or ()),
        forks=forks,
        program=find_program(sys.argv[0]),
    )
    emit(init_text(command(request, create_context()), detect_screen()))


def find_program(called: str) -> str:
    """Return how to call evalkit again from a shell; `uvx` if that made the environment for one command.

    Args:
        called: the first word of the command line.
    """
    # uv keeps such environments in its cache, in folders with a version.
    if Path(sys.prefix).parent.name.startswith(("archive-v", "environments-v")):
        return "uvx"
    found = shutil.which("evalkit")
    is_script = os.path.basename(called) == "evalkit"  # noqa: PTH119 - a text
    same = found is not None and os.path.realpath(found) == os.path.realpath(called)
    return shlex.quote(called) if is_script and os.sep in called and not same else "evalkit"
