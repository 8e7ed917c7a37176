"""evalkit traffic estimate: what all of traffic would score, from a judged sample."""

from __future__ import annotations

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import RunArgument
from evalkit.cli.output import print_result


def traffic_estimate(
    ref: RunArgument,
    result: ResultOptions,
) -> None:
    """Estimate the scores of all traffic from a judged sample."""
    from evalkit.commands.traffic.estimate import estimate_traffic
    from evalkit.traffic.estimate_text import estimate_json, estimate_text

    print_result(estimate_traffic(ref, create_context()), result, estimate_json, estimate_text)
