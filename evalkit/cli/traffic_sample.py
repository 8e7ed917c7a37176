"""evalkit traffic sample: draw requests for review, for a judge, or for an eval set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.output import print_result, refuse_conflicting_options


def traffic_sample(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the traffic.")],
    result: ResultOptions,
    size: Annotated[
        int,
        typer.Option(
            "--n", min=1, max=100_000, help="Number of requests; sessions are drawn whole."
        ),
    ] = 50,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="REASON,...",
            help="What to draw by, the same number for each: failed, slow, low-feedback, novel, random "
            "(default: all).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random sample.")] = 0,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the requests as a new eval set with draft labels."
        ),
    ] = None,
    judge: Annotated[
        list[str],
        typer.Option(
            metavar="RUBRIC",
            help="Write the answers as a set to judge and review: groundedness, helpfulness, toxicity, "
            "due_refusal, or the path of a rubric. Repeat it for several.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    like: Annotated[
        list[Path],
        typer.Option(
            metavar="SET",
            help="A set whose cases are known; the new set gets its agent and judge (default: the sets in "
            "the folder of --to, else in evalsets/).",
        ),
    ] = [],  # noqa: B006
) -> None:
    """Draw a random sample of requests."""
    from evalkit.commands.traffic.sample import SampleRequest, sample_traffic
    from evalkit.traffic.sample_text import sample_json, sample_text

    refuse_conflicting_options(
        ("--to and --judge exclude each other", to is not None and bool(judge)),
    )
    request = SampleRequest(
        traffic=name,
        size=size,
        by=by,
        seed=seed,
        to=to,
        judge=tuple(judge),
        like=tuple(like),
    )
    print_result(sample_traffic(request, create_context()), result, sample_json, sample_text)
