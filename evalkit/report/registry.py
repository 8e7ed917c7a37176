"""The report formats: the name of each, and what renders it."""

from __future__ import annotations

RENDERERS = {
    "junit": "evalkit.report.junit:render_junit",
    "markdown": "evalkit.report.markdown:render_markdown",
    "html": "evalkit.report.html.report:render_html",
    "csv": "evalkit.report.csv:render_csv",
    "ctrf": "evalkit.report.ctrf:render_ctrf",
}
"""What writes each of the targets, imported when one is asked for."""
