"""evalkit traffic estimate: what all of traffic would score, from a judged sample."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import RunArgument


def traffic_estimate(
    ref: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Estimate the scores of all traffic from a judged sample."""
    from evalkit.commands.traffic.estimate import estimate_traffic
    from evalkit.traffic.estimate_text import estimate_json, estimate_text

    found = estimate_traffic(ref, create_context())
    emit(estimate_json(found) if as_json else estimate_text(found, detect_screen()))
