"""Collect spans, normalize them and query them."""

__all__ = [
    "calls",
    "columns",
    "events",
    "normalizer",
    "query",
    "receiver",
    "recording",
    "search",
    "tables",
    "totals",
    "warnings",
]
