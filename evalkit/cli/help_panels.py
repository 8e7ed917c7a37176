"""Print help in named panels, as typer does, but with click's formatter instead of rich.

rich takes longer to load than all the rest of `--help`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_NAME_WIDTH = 30
"""The description of a longer name starts on the next line, as in click."""


def collect_panels(params: Sequence[Any], context: Any) -> dict[str, list[tuple[str, str]]]:
    """Return the rows of each panel: arguments first, options without a panel last."""
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    unnamed = []
    for param in params:
        row = param.get_help_record(context)
        panel = getattr(param, "rich_help_panel", None)
        if row is None:
            continue
        if param.param_type_name == "argument":
            panels["Arguments"].append(row)
        elif panel is None:
            unnamed.append(row)
        else:
            panels.setdefault(panel, []).append(row)
    return {**panels, "Options": unnamed}


def write_panels(formatter: Any, panels: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Write each panel as a section, and align the descriptions of all sections."""
    names = [name for rows in panels.values() for name, _ in rows]
    width = max((len(name) for name in names if len(name) <= MAX_NAME_WIDTH), default=0)
    for title, rows in panels.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), text) for name, text in rows], col_max=width
                )
