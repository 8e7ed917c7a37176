"""Collect spans, normalize them and query them."""

__all__ = [
    "calls",
    "collector",
    "normalizer",
    "query",
    "receiver",
    "recording",
    "tables",
    "totals",
    "warnings",
]
