"""What a reader of a traffic report has to know before believing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.format import format_count
from evalkit.traffic.dimensions import UNVERSIONED
from evalkit.traffic.import_log import ImportedFile
from evalkit.traffic.report_record import ArmComparison, TrafficReport

_MUCH = 0.1
_NOTABLE = 0.01


def list_warnings(
    report: TrafficReport, imports: Sequence[ImportedFile], unknown_users: int, unsampled: int
) -> Iterator[str]:
    """Yield a sentence for each reason to doubt the numbers of a report.

    `unknown_users` are the requests without a user, `unsampled` those that do not say with which
    probability they were kept, although others do.
    """
    total = report.whole.requests
    if unknown_users:
        what = "sessions" if report.cluster == "session" else "requests"
        if report.cluster == "user":
            what = "sessions or requests"
        yield (
            f"The user of {_share(unknown_users, total)} is unknown. Their {what} count as "
            "independent, so that intervals may be too narrow."
        )
    if report.top_share > _MUCH:
        yield f"One {report.cluster} sent {report.top_share:.0%} of the requests."
    if unsampled:
        yield (
            f"{_share(unsampled, total).capitalize()} do not say with which probability they were kept, and "
            "count once; others count more."
        )
    unversioned = next((each.requests for each in report.versions if each.name == UNVERSIONED), 0)
    if unversioned:
        yield f"The version of {_share(unversioned, total)} is unknown."
    if report.incomplete > _NOTABLE * total:
        yield (
            f"{_share(report.incomplete, total).capitalize()} are traces without their root, and have no "
            "latency. Import the missing file."
        )
    if report.retries:
        attempts = format_count(report.retries, "failed attempt")
        yield f"{attempts} that the client repeated within 10 s: not counted."
    keys = {_key_of(each) for each in imports} - {""}
    if len(keys) > 1:
        yield (
            "Files were imported with different redaction keys, so that one user counts as several. Import "
            "all files with one key."
        )
    for comparison in report.comparisons:
        yield from _list_doubts(comparison)


def _list_doubts(comparison: ArmComparison) -> Iterator[str]:
    base, candidate = comparison.base, comparison.candidate
    if not comparison.is_concurrent:
        yield f"{base} and {candidate} served at different times, which may explain what differs."
    if comparison.mixed:
        mixed = format_count(comparison.mixed, "request")
        yield f"{mixed} of sessions that met several versions: not compared."


def _share(count: int, total: int) -> str:
    percent = count / total
    shown = "less than 1%" if percent < _NOTABLE else f"{percent:.0%}"
    return f"{shown} of the requests"


def _key_of(imported: ImportedFile) -> str:
    redaction = imported.options.get("redaction")
    key = redaction.get("key_id", "") if isinstance(redaction, Mapping) else ""
    return str(key)
