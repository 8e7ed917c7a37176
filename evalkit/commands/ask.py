"""`evalkit ask`: ask the agent and store its answers; nothing is scored and nothing decided."""

from __future__ import annotations

from evalkit.errors import Interrupted, Undecidable
from evalkit.execution import execute, no_baseline
from evalkit.hints import Place
from evalkit.plan import Order
from evalkit.records import Run
from evalkit.resuming import Choices
from evalkit.world import World


def ask(order: Order, choices: Choices, world: World) -> Run:
    """Ask every case of a set, for somebody else to score (`evalkit score RUN --set EVALSET`).

    A case that ends in an error is stored as such: whoever decides counts it.

    Raises:
        Interrupted: by a signal; what is done is stored.
        Undecidable: the agent could not be reached.
    """
    execution = execute(order, choices, world, no_baseline)
    if execution.stopped_by is not None:
        raise Interrupted("interrupted; what is done is stored.", execution.stopped_by)
    if execution.unreachable or not execution.run.finished:
        place = Place(root=execution.plan.surroundings.root, cwd=world.cwd)
        raise Undecidable(
            f"run {place.name_run(execution.run)} is not whole: the agent could not be reached."
        )
    return execution.run
