"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "case_weights",
    "columns",
    "import_text",
    "importer",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "table",
    "weigh_text",
]
