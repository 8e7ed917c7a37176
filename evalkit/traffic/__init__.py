"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "columns",
    "importer",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "table",
]
