"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "columns",
    "table",
]
