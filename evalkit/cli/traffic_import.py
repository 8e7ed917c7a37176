"""evalkit traffic import: read files of traces, redact them, and store them by day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit


def traffic_import(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of traces, logs, or tables.")
    ],
    name: Annotated[
        str, typer.Option("--as", metavar="NAME", help="The name under which traffic is stored.")
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The format of the files: otlp, langfuse, langsmith, phoenix, litellm, chat-log, or "
            "table (default: recognized).",
        ),
    ] = "",
    mapping: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN,...",
            help="The columns of a table, such as input=question,output=answer,ts=created_at.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Skip damaged records, and count them.")
    ] = False,
    keep_pii: Annotated[
        bool,
        typer.Option(
            "--keep-pii", help="Keep personal data, users, and sessions; secrets are replaced."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    source: Annotated[
        str,
        typer.Option(metavar="NAME", help="What ids of requests begin with (default: the format)."),
    ] = "",
) -> None:
    """Import files of production traffic."""
    from evalkit.commands.traffic.import_files import import_traffic, parse_map
    from evalkit.traffic.import_text import import_json, import_text
    from evalkit.traffic.importer import ImportOptions

    options = ImportOptions(
        format=format_, source=source, mapping=parse_map(mapping), lenient=lenient
    )
    found = import_traffic(files, name, options, create_context(), keep_pii=keep_pii)
    emit(import_json(found) if as_json else import_text(found, detect_screen()))
