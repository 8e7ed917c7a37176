"""The report formats: one row each, with the function that renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.report.model import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFormat:
    """One format; `renderer` is `module:function` of a function from `Report` to text."""

    name: str
    description: str
    renderer: str

    def load(self) -> Callable[[Report], str]:
        """Import the renderer. A renderer may need a heavy library, so no other format loads it."""
        module, _, function = self.renderer.partition(":")
        render: Callable[[Report], str] = getattr(import_module(module), function)
        return render


FILE_FORMATS = {
    row.name: row
    for row in (
        FileFormat(
            name="junit",
            description="JUnit XML",
            renderer="evalkit.report.junit:render_junit",
        ),
        FileFormat(
            name="markdown",
            description="a Markdown summary",
            renderer="evalkit.report.markdown:render_markdown",
        ),
        FileFormat(
            name="html",
            description="an HTML report",
            renderer="evalkit.report.html.report:render_html",
        ),
        FileFormat(
            name="csv",
            description="the cases as CSV",
            renderer="evalkit.report.csv:render_csv",
        ),
        FileFormat(
            name="ctrf",
            description="CTRF JSON",
            renderer="evalkit.report.ctrf:render_ctrf",
        ),
    )
}
"""The formats that are written to a file, by the name of their option, as in `--junit FILE`."""
