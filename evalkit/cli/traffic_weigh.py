"""evalkit traffic weigh: weigh the cases of a set by the traffic that resembles them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.output import print_result


def traffic_weigh(
    evalset: Annotated[Path, typer.Argument(metavar="EVALSET", help="The set to weigh.")],
    result: ResultOptions,
    names: Annotated[
        list[str],
        typer.Option("--traffic", metavar="NAME", help="Stored traffic; may be repeated."),
    ],
    days: Annotated[
        int, typer.Option(metavar="N", min=1, help="Days to read, from the newest one back.")
    ] = 28,
) -> None:
    """Weigh the cases of a set by the requests that resemble them."""
    from evalkit.commands.traffic.weigh import weigh
    from evalkit.traffic.weigh_text import weigh_json, weigh_text

    weighing, path = weigh(evalset, names, days, create_context())
    print_result(
        weighing,
        result,
        lambda found: weigh_json(found, path),
        lambda found, screen: weigh_text(found, path, screen),
    )
