"""Judged runs, differences and single cases rendered to text: for a terminal, JSON, JUnit, Markdown."""
