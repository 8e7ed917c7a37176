"""Collect spans, normalize them and query them."""

__all__ = [
    "calls",
    "normalizer",
    "query",
    "receiver",
    "recording",
    "search",
    "tables",
    "totals",
    "warnings",
]
