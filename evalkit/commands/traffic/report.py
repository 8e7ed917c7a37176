"""`evalkit traffic report`: measures of stored traffic by version, model, tool, and time."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.evalset.project import Project
from evalkit.traffic.report import TrafficReportOptions, describe_traffic, open_reported
from evalkit.traffic.report_record import TrafficReport
from evalkit.traffic.table import traffic_folder


def read_options(by: Sequence[str], only: Sequence[str], compare: str) -> TrafficReportOptions:
    """Return the options of a report.

    Args:
        by: dimensions or attributes, several in one text separated by commas.
        only: conditions such as `version=v3`.
        compare: two versions or arms, separated by a comma; empty to compare the newest two.

    Raises:
        InvalidInput: `compare` does not name two.
    """
    names = tuple(part.strip() for text in by for part in text.split(",") if part.strip())
    return TrafficReportOptions(by=names, only=tuple(only), compare=_read_pair(compare))


def report_traffic(
    name: str, options: TrafficReportOptions, context: Context, *, page: bool
) -> tuple[TrafficReport, str]:
    """Build the report of the project's traffic of this name, and if wanted its page as HTML.

    Raises:
        InvalidInput: an option is not valid, or there is nothing to report.
        StoreError: the store is damaged.
    """
    folder = traffic_folder(Project.open(context).root, name)
    with open_reported(folder, options) as opened:
        report = describe_traffic(opened)
        if not page:
            return report, ""
        # Imported here, because it loads the templates.
        from evalkit.traffic.dashboard_page import render_dashboard  # noqa: PLC0415
        from evalkit.traffic.dashboard_source import read_dashboard  # noqa: PLC0415

        return report, render_dashboard(read_dashboard(opened, report))


def _read_pair(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    base, _, candidate = (part.strip() for part in text.partition(","))
    if not (base and candidate) or base == candidate:
        raise InvalidInput.single(
            f"--compare {text!r}: name two versions or arms, the base first, for example v1,v2."
        )
    return base, candidate
