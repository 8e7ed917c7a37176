"""List the report formats. A new format needs a renderer module and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.report.model import Report


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One report format; `renderer` is the `module:function` that turns a `Report` into text."""

    name: str
    description: str
    renderer: str

    def load(self) -> Callable[[Report], str]:
        """Import the renderer. Only the format that is used loads its libraries."""
        module, _, function = self.renderer.partition(":")
        render: Callable[[Report], str] = getattr(import_module(module), function)
        return render


@dataclass(frozen=True, slots=True)
class PrintedFormat(FileFormat):
    """One value of `--format`, printed after the terminal report or instead of it."""

    follows_table: bool


_FILES = (
    FileFormat("junit", "JUnit XML", "evalkit.report.junit:render_junit"),
    FileFormat("markdown", "a Markdown summary", "evalkit.report.markdown:render_markdown"),
    FileFormat("html", "an HTML report", "evalkit.report.html.report:render_html"),
    FileFormat("csv", "the cases as CSV", "evalkit.report.csv:render_csv"),
    FileFormat("ctrf", "CTRF JSON", "evalkit.report.ctrf:render_ctrf"),
)
_PRINTED = (
    PrintedFormat("json", "one JSON document", "evalkit.report.json:render_json", False),
    PrintedFormat("github", "GitHub annotations", "evalkit.report.github:render_github", True),
)

FILE_FORMATS = {row.name: row for row in _FILES}
"""The formats that are written to a file, by the name of their option, as in `--junit FILE`."""

PRINTED_FORMATS = {row.name: row for row in _PRINTED}
"""The values of `--format` besides `table`, which is `evalkit.report.terminal`."""
