"""Render records as terminal text, JSON, JUnit XML, Markdown, HTML, CSV and CTRF."""
