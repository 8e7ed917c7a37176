"""`evalkit traffic report`: measures of stored traffic by version, model, tool, and time."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.evalset.project import Project
from evalkit.traffic.report import TrafficReportOptions, build_report
from evalkit.traffic.report_record import TrafficReport
from evalkit.traffic.table import traffic_folder


def report_traffic(
    name: str, by: Sequence[str], only: Sequence[str], compare: str, context: Context
) -> TrafficReport:
    """Build the report of the project's traffic of this name.

    Args:
        name: the name of the traffic.
        by: dimensions or attributes, several in one text separated by commas.
        only: conditions such as `version=v3`.
        compare: two versions or arms, separated by a comma; empty to compare the newest two.
        context: the folder in which the command runs.

    Raises:
        InvalidInput: an argument is not valid, or there is nothing to report.
        StoreError: the store is damaged.
    """
    names = tuple(part.strip() for text in by for part in text.split(",") if part.strip())
    options = TrafficReportOptions(by=names, only=tuple(only), compare=_read_pair(compare))
    return build_report(traffic_folder(Project.open(context).root, name), options)


def _read_pair(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    base, _, candidate = (part.strip() for part in text.partition(","))
    if not (base and candidate) or base == candidate:
        raise InvalidInput.single(
            f"--compare {text!r}: name two versions or arms, the base first, for example v1,v2."
        )
    return base, candidate
