"""evalkit bisect: find the commit that made the agent worse."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import (
    ConcurrencyOption,
    EvalSetArgument,
    MaxCostOption,
    MaxErrorsOption,
    SeedOption,
    require_text,
    selection_option,
    trials_option,
)
from evalkit.cli.output import exit_with_code, print_result


class CommitOptions(NamedTuple):
    """The commits to test, and the metric to test them by."""

    path: Annotated[
        list[str],
        selection_option(
            "--path", metavar="PATH", help="Only commits that change this file or folder."
        ),
    ] = []  # noqa: RUF012 - typer copies it
    every: Annotated[
        bool, selection_option("--all", help="Also commits that change no file of the agent.")
    ] = False
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The metric that got worse (default: that of the threshold that BAD fails).",
        ),
    ] = None


class TrialOptions(NamedTuple):
    """How much to run."""

    trials: Annotated[
        int, trials_option("--trials", min=1, help="Maximum number of trials per case and commit.")
    ] = 4
    concurrency: ConcurrencyOption = None
    max_errors: MaxErrorsOption = None
    max_cost_usd: MaxCostOption = None
    seed: SeedOption = None


def bisect(
    good: Annotated[
        str,
        typer.Argument(metavar="GOOD", callback=require_text, help="A commit that was better."),
    ],
    bad: Annotated[
        str, typer.Argument(metavar="BAD", callback=require_text, help="A later, worse commit.")
    ],
    evalset: EvalSetArgument,
    commits: CommitOptions,
    trials: TrialOptions,
    result: ResultOptions,
) -> None:
    """Find the commit that made the agent worse.

    Cases, metrics, and labels are those of this checkout; the agent is that of each commit.
    """
    from evalkit.commands import bisect as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.bisect import bisect_json, bisect_text

    request = command.BisectRequest(
        good=good,
        bad=bad,
        path=evalset,
        metric=commits.metric,
        paths=tuple(commits.path),
        every=commits.every,
        trials=trials.trials,
        overrides=SettingsOverrides(
            concurrency=trials.concurrency,
            max_errors=trials.max_errors,
            max_cost_usd=trials.max_cost_usd,
            seed=trials.seed,
        ),
    )
    found = command.bisect(request, create_context())
    print_result(found, result, bisect_json, bisect_text)
    exit_with_code(found.exit_code)
