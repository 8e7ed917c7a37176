"""Judged runs rendered to text: for a terminal, as JSON, JUnit XML and Markdown."""

from evalkit.reports.report import Diff, Hint, Report

__all__ = ["Diff", "Hint", "Report"]
