"""Divide the budget of a command among its sets."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from evalkit.commands.budget import find_least_budget
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.core.location import Problem
from evalkit.core.run_budget import BudgetLimit
from evalkit.evalset.project import Project
from evalkit.runner.records import RunRequest


def share_budget(
    limit: BudgetLimit, requests: Sequence[RunRequest], context: Context, *, agents: int
) -> tuple[BudgetLimit, ...]:
    """Return the budget of each set; together they are at most `limit`.

    The shares are proportional to what one trial of each case takes, so all sets get about as many trials
    per case.

    Raises:
        InvalidInput: the budget does not run each case of every set, or a set has no baseline that shows
            the noise or the cost.
    """
    least: list[float] = []
    problems: list[Problem] = []
    for request in requests:
        project = Project.open(context, request.path)
        try:
            least.append(find_least_budget(request, limit, project, agents=agents))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise InvalidInput(problems)
    total = sum(least)
    given = limit.usd if limit.usd is not None else float(limit.trials or 0)
    if given < total:
        raise InvalidInput.single(_too_small_text(limit, total, len(requests)))
    if not total:  # free trials
        return tuple(limit for _ in requests)
    if limit.usd is not None:
        return tuple(BudgetLimit(usd=limit.usd * each / total) for each in least)
    return tuple(BudgetLimit(trials=floor(given * each / total)) for each in least)


def _too_small_text(limit: BudgetLimit, total: float, sets: int) -> str:
    if limit.usd is not None:
        # Rounded up, so that the stated budget is enough.
        given, needed = f"--budget-usd {limit.usd:g}", f"{ceil(total * 10_000 - 1e-6) / 10_000:g}"
    else:
        given, needed = f"--budget-trials {limit.trials}", f"{total:.0f}"
    return (
        f"{given} is for {format_count(sets, 'set')} together, and does not buy one trial of each case. "
        f"Give at least {needed}, or name fewer sets."
    )
