"""evalkit traffic list: single requests of stored traffic."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import Format, FormatOption


def traffic_list(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the stored traffic.")],
    version: Annotated[str, typer.Option(metavar="VERSION", help="Only of this version.")] = "",
    tool: Annotated[str, typer.Option(metavar="TOOL", help="Only if this tool was called.")] = "",
    day: Annotated[
        str,
        typer.Option(
            metavar="DAY",
            help="Only of a day, 2026-11-23, or days, 2026-11-23..2026-11-29, in UTC.",
        ),
    ] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only requests that failed.")] = False,
    only: Annotated[
        list[str],
        typer.Option(
            "--only",
            metavar="DIMENSION=VALUE",
            help="Only these requests, for example model=gpt-4o or environment!=test; repeatable.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of requests.")] = 50,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """List requests, the newest first."""
    from evalkit.commands.traffic.list import list_requests
    from evalkit.traffic.request_list import request_list_json, request_list_text

    named = {"version": version, "tool": tool, "day": day}
    conditions = [*(f"{by}={value}" for by, value in named.items() if value), *only]
    found = list_requests(name, conditions, create_context(), failed=failed, limit=limit)
    text = request_list_json if format is Format.json else None
    emit(text(found) if text else request_list_text(found, detect_screen()))
