"""Collect spans, normalize them and query them."""

__all__ = [
    "calls",
    "columns",
    "conventions",
    "events",
    "flat_messages",
    "normalizer",
    "otlp_json",
    "otlp_protobuf",
    "query",
    "receiver",
    "recording",
    "search",
    "tables",
    "tool_data",
    "totals",
    "warnings",
]
