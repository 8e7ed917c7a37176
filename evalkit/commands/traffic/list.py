"""`evalkit traffic list`: single requests of stored traffic."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.context import Context
from evalkit.evalset.project import Project
from evalkit.traffic.request_list import RequestList, find_requests
from evalkit.traffic.table import traffic_folder


def list_requests(
    name: str, conditions: Sequence[str], context: Context, *, failed: bool, limit: int
) -> RequestList:
    """Return the newest requests of the project's traffic that fulfil conditions such as `tool=refund`.

    Raises:
        InvalidInput: there is no such traffic, or a condition is not valid.
    """
    folder = traffic_folder(Project.open(context).root, name)
    return find_requests(folder, conditions, failed=failed, limit=limit)
