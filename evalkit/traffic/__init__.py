"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "case_weights",
    "columns",
    "facts",
    "import_text",
    "importer",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "table",
    "validation",
    "validation_text",
    "version_outcomes",
    "weigh_text",
]
