"""List the report formats. A new format needs a renderer module and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.report.model import Report


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One report format.

    `renderer` is the `module:function` that turns a `Report` into text, and `batch_renderer` that for a
    `Batch`.
    """

    name: str
    description: str
    renderer: str
    batch_renderer: str

    def load(self) -> Callable[[Report], str]:
        """Import the renderer. Only the format that is used loads its libraries."""
        render: Callable[[Report], str] = _import_function(self.renderer)
        return render

    def load_for_batch(self) -> Callable[[Any], str]:
        """Import the renderer of several runs, which takes a `Batch`."""
        render: Callable[[Any], str] = _import_function(self.batch_renderer)
        return render


def _import_function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


@dataclass(frozen=True, slots=True)
class PrintedFormat(FileFormat):
    """One value of `--format`, printed after the terminal report or instead of it."""

    follows_table: bool


_FILES = (
    FileFormat(
        "junit",
        "JUnit XML",
        "evalkit.report.junit:render_junit",
        "evalkit.report.batch_tests:render_batch_junit",
    ),
    FileFormat(
        "markdown",
        "a Markdown summary",
        "evalkit.report.markdown:render_markdown",
        "evalkit.report.batch_markdown:render_batch_markdown",
    ),
    FileFormat(
        "html",
        "an HTML report",
        "evalkit.report.html.report:render_html",
        "evalkit.report.html.batch:render_batch_html",
    ),
    FileFormat(
        "csv",
        "the cases as CSV",
        "evalkit.report.csv:render_csv",
        "evalkit.report.csv:render_batch_csv",
    ),
    FileFormat(
        "ctrf",
        "CTRF JSON",
        "evalkit.report.ctrf:render_ctrf",
        "evalkit.report.batch_tests:render_batch_ctrf",
    ),
)
_PRINTED = (
    PrintedFormat(
        "json",
        "one JSON document",
        "evalkit.report.json:render_json",
        "evalkit.report.batch_document:render_batch_json",
        False,
    ),
    PrintedFormat(
        "github",
        "GitHub annotations",
        "evalkit.report.github:render_github",
        "evalkit.report.github:render_batch_github",
        True,
    ),
)

FILE_FORMATS = {row.name: row for row in _FILES}
"""The formats that are written to a file, by the name of their option, as in `--junit FILE`."""

PRINTED_FORMATS = {row.name: row for row in _PRINTED}
"""The values of `--format` besides `table`, which is `evalkit.report.terminal`."""
