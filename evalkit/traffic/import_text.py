"""Show what an import did, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.core.serialization import to_json_value
from evalkit.report.screen import Screen
from evalkit.traffic.import_log import ImportedFile
from evalkit.traffic.importer import ImportResult

_NOUNS = {"requests": "request", "spans": "span", "feedback": "rating"}


def import_json(result: ImportResult) -> str:
    """Return the result of an import as JSON."""
    return format_json(
        {
            "schema": "evalkit.traffic_import/v1",
            "imported": [to_json_value(each) for each in result.imported],
            "known": [to_json_value(each) for each in result.known],
            "added": dict(result.added),
            "other_traces": result.other_traces,
            "problems": [str(problem) for problem in result.problems],
        }
    )


def import_text(result: ImportResult, screen: Screen) -> str:
    """Return the result of an import for people."""
    return "\n".join(line for part in _list_parts(result) for line in screen.fold(part)) + "\n"


def _list_parts(result: ImportResult) -> Iterator[str]:
    for file in result.imported:
        yield (
            f"{file.file}: {format_count(file.accepted, 'record')} of {file.format}"
            f"{_describe_times(file)}"
        )
    for file in result.known:
        yield f"{file.file}: already imported on {file.imported_at[:10]}; nothing to add."
    if not result.imported:
        return
    counts = [format_count(count, _NOUNS[table]) for table, count in result.added.items()]
    yield f"Added {', '.join(counts)}."
    if result.other_traces:
        noun = "trace is no request" if result.other_traces == 1 else "traces are no requests"
        yield f"{result.other_traces:,} {noun}: without an answer and a call of a model or tool."
    for problem in result.problems:
        yield f"Skipped {problem}"
    redactions: Counter[str] = Counter()
    for file in result.imported:
        redactions.update(file.redactions)
    found = [f"{count:,} {kind}" for kind, count in redactions.most_common()]
    replaced = ", ".join(found) or "nothing"
    yield f"Replaced {replaced}. Names and addresses in free text are not recognized."


def _describe_times(file: ImportedFile) -> str:
    if not file.time_min:
        return ""
    first, last = (text[:16].replace("T", " ") for text in (file.time_min, file.time_max))
    return f", {first} to {last} UTC"
