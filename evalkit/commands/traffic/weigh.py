"""`evalkit traffic weigh`: weigh the cases of a set by the traffic that resembles them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import write_atomically
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.traffic_mix import format_mix, mix_path
from evalkit.traffic.case_weights import WeighedRequest, Weighing, read_requests, weigh_cases
from evalkit.traffic.table import open_traffic, traffic_folder


def weigh(evalset: Path, names: Sequence[str], days: int, context: Context) -> tuple[Weighing, str]:
    """Weigh the cases of a set by stored traffic; write the weights, and return them and their path.

    Args:
        evalset: the set.
        names: the names of the traffic. A request that is in several of them counts once.
        days: how many days of each to read, from its newest day back.
        context: where the command runs.

    Raises:
        InvalidInput: the set is broken, or there is no such traffic, or it has no requests.
        StoreError: the weights cannot be written.
    """
    if not names:
        raise InvalidInput.single("name the traffic with --traffic NAME.")
    project = Project.open(context, evalset)
    loaded, problems = project.load(evalset)
    path = mix_path(evalset, loaded.name)
    # Damaged weights are about to be replaced.
    others = [
        each for each in problems if each.where is None or each.where.path != display_path(path)
    ]
    if others:
        raise InvalidInput(others)
    requests: dict[str, WeighedRequest] = {}
    found = 0
    for name in dict.fromkeys(names):
        with open_traffic(traffic_folder(project.root, name)) as connection:
            read, count = read_requests(connection, days)
        requests |= {each.request_id: each for each in read}
        found += count
    weighing = weigh_cases(
        loaded.cases, list(requests.values()), found, tuple(dict.fromkeys(names))
    )
    write_atomically(path, format_mix(weighing.mix))
    return weighing, project.relative(path)
