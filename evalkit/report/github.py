"""Render a run as GitHub workflow commands that annotate broken cases at their lines.

A step shows only the first ten errors and the first ten warnings, so at most ten are written, worst first.
Data cannot form a command, because it is escaped and follows the `::` of a command written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.core.location import Location
from evalkit.core.safe_text import escape_unsafe, one_line
from evalkit.report.annotations import Annotation, find_annotations
from evalkit.report.model import Report

if TYPE_CHECKING:
    from evalkit.report.batch import Batch

MAX_ANNOTATIONS = 10
"""Annotations of one level that a step shows (docs.github.com, workflow commands)."""

_MAX_TITLE_CHARS = 120


def render_github(report: Report) -> str:
    """Render one command per line: errors if the run failed, warnings if the gate lets it pass."""
    found = find_annotations(report)
    # Half of the annotations are reserved for cases, which show what to fix.
    chosen = [*found.definition, *found.gate[: MAX_ANNOTATIONS // 2], *found.cases]
    return "".join(f"{_command(each)}\n" for each in chosen[:MAX_ANNOTATIONS])


def render_batch_github(batch: Batch) -> str:
    """Render the commands of several runs, as many of each as a step shows of all."""
    if batch.only_report is not None:
        return render_github(batch.only_report)
    lines = [
        _command(
            Annotation(
                "warning" if part.state == "nothing_selected" else "error",
                Location(path=part.path),
                f"{part.label}: {part.word.lower()}",
                part.problem,
            )
        )
        for part in batch.parts
        if part.report is None and part.exit_code
    ]
    rendered = [render_github(report).splitlines(keepends=True) for report in batch.reports]
    spoken = [found for found in rendered if found]
    share = max((MAX_ANNOTATIONS - len(lines)) // max(len(spoken), 1), 1)
    return "".join(
        (*(f"{line}\n" for line in lines), *(line for found in spoken for line in found[:share]))
    )


def _command(annotation: Annotation) -> str:
    """Return one command with escaped data."""
    where = annotation.where
    properties = {"title": one_line(annotation.title, _MAX_TITLE_CHARS)}
    if where.path:
        properties = {
            "file": escape_unsafe(where.path),
            "line": str(max(where.line, 1)),
            **properties,
        }
    named = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    message = _escape(escape_unsafe(annotation.message, newlines=True))
    return f"::{annotation.level} {named}::{message}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
